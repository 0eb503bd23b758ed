"""What a question is: how it is put to a model, how an answer is read, what counts as right.

`numeric`, `choice` and `text` are the answer families (`task: {kind: numeric}`). The rest serves
them: `conclusions` finds the concluding sentence, `quantities` reads numbers, `prompting` fills
the prompt files; `reading` and `sources` bring questions in; `validate` checks a set of them.
"""

from elad.tasks.chains import make_chain

__all__ = ["make_chain"]
