"""A small language model for the recogniser: the sentences that callers and agents of the tests say, and some three
hundred common words that they do not.

The general English model that comes with PocketSphinx knows 130,000 words: over a telephone line, which its sounds
were not trained for, it mishears some, and it takes seconds of processor time. What the tests are to prove is that
words get through, not that a recogniser is good; so it expects the tests' sentences, but is free to hear any of the words in
any order. Speech of other words comes out as other words, and noise as nothing."""

import json
import math
import re
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import dialogue

REPOSITORY = Path(__file__).resolve().parents[2]
# How much of what follows a word is expected from the sentences; the rest may be any word.
FOLLOWED = 0.8
# How much of a word's own likelihood comes from the sentences; the rest is the same for all words.
KNOWN = 0.6

COMMON = """
the of and to in that was his he it with is for as had you not be her on at by which have or from this him but all she
they were my are me one their so an said them we who would been will no when there if more out up into do any your what
has man could other than our some very time upon about may its only now like little then can should made did us such
great before must two these see know over much down after first good men own never most old shall day where those came
come himself way work life without go make well through being long say might how am too even again many back here think
every people went same last thought away under take found hand eyes still place while just also young yet though against
things get ever give years off face nothing right once another left part saw house world head three took new love always
put night each king between tell mind heart few because thing whom far seemed looked called whole set both got find done
heard look name days told let country asked going seen better having home knew side something moment father among course
hands woman enough words mother soon full end gave room almost small cannot water want however light quite brought nor
word whose given door best turned taken does use morning myself felt until since power used rather began present voice
others white works less money next poor death stood form within together till large matter kind often certain herself
year friend half order round true anything keep sent wife means believe passed feet near public state hundred children
""".split()


def words(text: str) -> list[str]:
    """The words of a text as the pronouncing dictionary writes them."""
    return re.findall(r"[a-z']+", text.lower())


def sentences() -> list[list[str]]:
    """What is said in the tests."""
    said = [words(voice["text"]) for voice in json.loads((REPOSITORY / "e2e/voices/index.json").read_text())]
    clips = json.loads((REPOSITORY / "dataplane/assets/agent/clips.json").read_text())
    spoken = [words(part) for clip in clips for part in re.split(r"[.?!]", clip["text"])]
    answered = [["you", "said", *text] for text in said]
    for count in dialogue.NUMBERS:
        answered += [["this", "is", "turn", "number", count], ["you", "have", "spoken", count, "times"]]
    fixed = ["how many times", "that is all that i remember", "i did not hear anything", "please say it again"]
    return [sentence for sentence in said + spoken + answered + [words(text) for text in fixed] if sentence]


def model() -> str:
    """The bigram model in ARPA format."""
    single, following = Counter(), defaultdict(Counter)
    for sentence in sentences():
        single.update([*sentence, "</s>"])
        for word, after in zip(["<s>", *sentence], [*sentence, "</s>"]):
            following[word][after] += 1
    vocabulary = sorted({*single, *COMMON} - {"</s>"})
    even = (1 - KNOWN) / (len(vocabulary) + 1)
    chance = {word: KNOWN * single[word] / single.total() + even for word in [*vocabulary, "</s>"]}
    backoff = {
        word: (1 - FOLLOWED) / (1 - sum(chance[after] for after in afters)) for word, afters in following.items()
    }
    pairs = [
        f"{math.log10(FOLLOWED * count / afters.total()):.4f} {word} {after}"
        for word, afters in sorted(following.items())
        for after, count in sorted(afters.items())
    ]
    singles = [f"-99 <s> {math.log10(backoff['<s>']):.4f}", f"{math.log10(chance['</s>']):.4f} </s>"]
    singles += [f"{math.log10(chance[word]):.4f} {word} {math.log10(backoff.get(word, 1)):.4f}" for word in vocabulary]
    counts = [f"ngram 1={len(singles)}", f"ngram 2={len(pairs)}"]
    lines = ["\\data\\", *counts, "", "\\1-grams:", *singles, "", "\\2-grams:", *pairs, "", "\\end\\", ""]
    return "\n".join(lines)


def write_model() -> str:
    """Writes the model to a temporary file and returns its path; the caller deletes it once it is loaded."""
    with tempfile.NamedTemporaryFile("w", suffix=".lm", delete=False) as file:
        file.write(model())
    return file.name
