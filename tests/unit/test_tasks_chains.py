from hypothesis import given
from hypothesis import strategies as st

from elad.records import ParseOutcome, Problem, Sampling
from elad.tasks import make_chain
from elad.tasks.numeric import Numeric

PROBLEM = Problem(id="q", question="How many?", answer="7")


@given(st.text(alphabet="The answer is 7.\n+=3", max_size=120), st.booleans(), st.integers(1, 5))
def test_a_chain_keeps_its_text_and_takes_the_tasks_reading(text: str, finished: bool, most: int) -> None:
    sampling = Sampling(temperature=0.7)
    chain = make_chain(
        text, PROBLEM, Numeric(), finished=finished, sampling=sampling, seed=3, tokens=9, most_steps=most
    )  # fmt: skip
    parsed = Numeric().parse(text, PROBLEM, finished=finished)
    assert "".join(step.text for step in chain.steps) == chain.text == text
    assert len(chain.steps) <= most
    assert (chain.answer, chain.outcome) == (parsed.answer, parsed.outcome)
    assert (chain.problem_id, chain.sampling, chain.seed, chain.tokens) == ("q", sampling, 3, 9)


def test_a_chain_of_steps() -> None:
    chain = make_chain(
        "3 + 4 = 7.\nThe answer is 7.",
        PROBLEM,
        Numeric(),
        finished=True,
        sampling=Sampling(),
        seed=0,
        tokens=1,
        most_steps=12,
    )
    assert [step.text for step in chain.steps] == ["3 + 4 = 7.\n", "The answer is 7."]
    assert (chain.answer, chain.outcome) == ("7", ParseOutcome.PARSED)
