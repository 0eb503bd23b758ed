"""Whether a teacher answers in another language than it was asked in, told by everyday words."""

import re
from collections.abc import Mapping

_WORD = re.compile(r"[^\W\d_]{2,}")
_FEWEST = 4
"""So many different words of a language are needed before a text is said to be in it."""
_SHARE = 4
"""And they must be one word in so many."""
_FEWEST_ASKED = 3
"""So many different words show which language a question is in."""

_EVERYDAY: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "English": "the of and to is are was were how many much what which each every he she they it his her their has"
        " have had did does do with from for at by if there then on that this who when",
        "Spanish": "el los las la una unos un del de en que con por para como pero más menos cada cuánto cuántos"
        " cuántas tiene tenía es está hay entonces luego después primero ahora así dos tres cuatro cinco seis siete"
        " ocho nueve diez sus porque cuando respuesta queda quedan",
        "French": "le la les un une du des de et est sont dans avec par que qui donc puis alors ensuite il elle ils"
        " nous ont avait combien chaque moins deux trois quatre cinq sept huit neuf dix reste réponse ce cette"
        " ces aux sur ne pas mais parce comme abord",
        "German": "der das dem den des und ist sind ein eine einen einem einer mit von zu nicht sie er wir haben hatte"
        " wie viele dann zuerst danach jeder jede jedes zwei drei vier fünf sechs sieben acht neun zehn auf"
        " aus für im nach noch bleiben antwort insgesamt weil wenn daher sich werden wird",
        "Italian": "il gli le la un una di del della dei delle che con più meno ha hanno aveva sono quanti quante ogni"
        " poi quindi prima dopo allora tre quattro cinque sei sette otto nove dieci nel nella da dal risposta"
        " perché anche si non",
        "Portuguese": "os um uma dos das da de em na que com por para mais menos são tem tinha quantos quantas cada"
        " então depois primeiro agora assim dois duas três quatro cinco seis sete oito nove dez ele ela eles"
        " resposta porque quando não sua foi",
    }.items()
}
"""Words of explanations in each language; what is as common a word in English is left out."""


def differ(text: str, question: str) -> bool:
    """Whether a text is in Spanish, French, German, Italian or Portuguese, and its question in another language.

    Said only where it is plain: a short text or a formula never differs, nor does one whose language has
    a single everyday word in the question, nor any from a question that is neither in one of these nor in
    English. English never differs: the prompts and the conclusion that is asked for are in it.
    """
    said, asked = _WORD.findall(text.casefold()), set(_WORD.findall(question.casefold()))
    language = max(_EVERYDAY, key=lambda name: sum(word in _EVERYDAY[name] for word in said))
    everyday = _EVERYDAY[language]
    spoken = [word for word in said if word in everyday]
    if language == "English" or len(set(spoken)) < _FEWEST or _SHARE * len(spoken) < len(said):
        return False
    return not asked & everyday and any(len(asked & words) >= _FEWEST_ASKED for words in _EVERYDAY.values())
