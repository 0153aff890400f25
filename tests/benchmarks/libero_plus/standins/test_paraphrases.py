"""Our paraphrases: many for each base task, all different, of four classes."""

from __future__ import annotations

import re

import pytest

from wam_eval.benchmarks.libero.package import task_map
from wam_eval.benchmarks.libero_plus.standins.paraphrases import CLASSES, PER_CLASS, class_of, paraphrase
from wam_eval.benchmarks.libero_plus.tasks import COUNTS, instruction_of

NUMBERS = range(1, len(CLASSES) * PER_CLASS + 1)
INSTRUCTIONS = [instruction_of(name) for suite in COUNTS for name in task_map()[suite]]


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_the_sentences_of_a_task_differ_and_are_plain_words(instruction: str) -> None:
    sentences = [paraphrase(instruction, number) for number in NUMBERS]
    assert len({*sentences, instruction}) == len(sentences) + 1
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", sentence) for sentence in sentences)


def test_the_classes_take_turns() -> None:
    assert [class_of(number) for number in (1, 2, 3, 4, 5)] == [*CLASSES, CLASSES[0]]
    assert len(CLASSES) * PER_CLASS >= 50, "upstream's numbers end at 50"


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_requests_and_contexts_contain_the_instruction_and_the_others_do_not(instruction: str) -> None:
    for number in NUMBERS:
        contained = instruction in paraphrase(instruction, number)
        assert contained == (class_of(number) in ("request", "context"))


def test_examples() -> None:
    instruction = "put the bowl on the stove"
    assert paraphrase(instruction, 5) == "your task is to put the bowl on the stove"
    assert paraphrase(instruction, 6) == "while i answer the phone put the bowl on the stove"
    assert paraphrase(instruction, 3) == "lay the basin on the hob"
    assert paraphrase(instruction, 4).startswith("lay the hollow tableware for cereal on the ")
