"""The description of a training names its data sets."""

from __future__ import annotations

from wam_eval.training.config import DataConfig

SHARED = {"suites": {"robotwin_clean": 30}, "image_size": (96, 128), "stride": 4, "cameras": ("head_camera",)}


def folder(**fields: object) -> str:
    return DataConfig.model_validate({**SHARED, **fields}).folder("robotwin_clean", 30)


def test_a_data_set_is_named_after_its_suite_and_its_episodes() -> None:
    assert folder() == "robotwin_clean-30"


def test_data_sets_of_other_tasks_have_other_folders() -> None:
    some, same, others = (
        folder(tasks=tasks) for tasks in (("click_bell", "stamp_seal"), ("stamp_seal", "click_bell"), ("click_bell",))
    )
    assert some == same
    assert len({folder(), some, others}) == 3
    assert some.startswith("robotwin_clean-30-")


def test_a_data_set_that_a_model_plays_is_named_after_its_training() -> None:
    played = DataConfig.model_validate({**SHARED, "tasks": ("click_bell",)}).folder("robotwin_clean", 10, "small-mvwam")
    assert played.startswith("robotwin_clean-10-") and played.endswith("-small-mvwam")
