"""Requests in the layouts of different servers, and actions from their replies."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.policies.openpi_server import array, reply
from tests.policies.remote.conftest import episode
from wam_eval.benchmark import ActionSpace
from wam_eval.benchmarks.libero.benchmark import PoseDelta
from wam_eval.benchmarks.robotwin.benchmark import JointTargets
from wam_eval.config import load_policy
from wam_eval.errors import UserError
from wam_eval.observation import Observation
from wam_eval.policies.remote.codec import pack, unpack
from wam_eval.policies.remote.mapping import Mapping, MappingSettings, check_fields, fill, resize_with_padding
from wam_eval.policies.remote.policy import RemoteSettings
from wam_eval.policies.remote.protocol import ReplyError
from wam_eval.policy import policy_arguments


def mapping(**settings: Any) -> Mapping:
    given = {"cameras": {"front": "image"}, "prompt_key": "prompt", **settings}
    return Mapping(MappingSettings.model_validate(given))


def card(name: str) -> Mapping:
    """The mapping of a policy's YAML."""
    benchmark = "libero" if name == "remote" else "robotwin"
    arguments = policy_arguments(load_policy(name), "localhost:1", [benchmark])
    return Mapping(RemoteSettings.model_validate(arguments))


def observation(cameras: tuple[str, ...] = ("front",), numbers: int = 8) -> Observation:
    random = np.random.default_rng(7)
    images = {name: random.integers(0, 256, (48, 64, 3), np.uint8) for name in cameras}
    return Observation("suite/00/000", 12, images, np.arange(numbers, dtype=np.float32), "lift the mug")


def picture(**settings: Any) -> NDArray[np.uint8]:
    """The image that is sent for the observation."""
    image: NDArray[np.uint8] = mapping(**settings).request(observation())["image"]
    return image


SEEN = observation().images["front"]


# Requests


def test_openpis_servers_receive_the_bytes_of_version_0_1() -> None:
    """Recorded before the mapping had settings."""
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    settings = RemoteSettings.model_validate(
        {**policy_arguments(load_policy("remote"), "localhost:1", ["libero"]), "image_size": 2}
    )
    seen = Observation(
        *("suite/00/000", 0, {"agentview": image, "robot0_eye_in_hand": image[::-1].copy()}),
        *(np.arange(3, dtype=np.float32), "lift"),
    )
    assert pack(Mapping(settings).request(seen, first=True)).hex() == (
        "84b16f62736572766174696f6e2f696d61676584c40b5f5f6e6461727261795f5fc3c4056474797065a37c7531c405736861706593020203"
        "c40464617461c40c000102030405060708090a0bb76f62736572766174696f6e2f77726973745f696d61676584c40b5f5f6e646172726179"
        "5f5fc3c4056474797065a37c7531c405736861706593020203c40464617461c40c060708090a0b000102030405b16f62736572766174696f"
        "6e2f737461746584c40b5f5f6e6461727261795f5fc3c4056474797065a33c6634c40573686170659103c40464617461c40c000000000000"
        "803f00000040a670726f6d7074a46c696674"
    )


@pytest.mark.parametrize(
    ("name", "cameras", "numbers", "digest"),
    [
        (
            "remote",
            ("agentview", "robot0_eye_in_hand"),
            8,
            "5efc6be454415f3b38398aefdb5abff0b9600b380f78d081d463c3dd24ce508f",
        ),
        (
            *("remote_robotwin", ("head_camera", "left_camera", "right_camera"), 14),
            "46b6ccfb5312407e6dc247b78b6c67a69be7218e0d76a90b16216d860853e3be",
        ),
    ],
)
def test_the_cards_send_what_they_sent_in_version_0_1(
    name: str, cameras: tuple[str, ...], numbers: int, digest: str
) -> None:
    assert hashlib.sha256(pack(card(name).request(observation(cameras, numbers)))).hexdigest() == digest


def test_the_aloha_card_has_openpis_layout() -> None:
    """Nested images of shape (3, 224, 224), a state of 14 numbers, and no other key."""
    seen = observation(("head_camera", "left_camera", "right_camera"), 14)
    request = unpack(pack(card("remote_aloha").request(seen)))
    assert set(request) == {"images", "state", "prompt"} and request["state"].tolist() == list(range(14))
    assert set(request["images"]) == {"cam_high", "cam_left_wrist", "cam_right_wrist"}
    for camera, key in (("head_camera", "cam_high"), ("left_camera", "cam_left_wrist")):
        image = request["images"][key]
        assert image.shape == (3, 224, 224) and image.dtype == np.uint8
        assert (image.transpose(1, 2, 0) == resize_with_padding(seen.images[camera], 224, 224)).all()
    chunk = card("remote_aloha").chunk({"actions": np.ones((50, 14))}, JointTargets())
    assert chunk.actions.shape == (50, 14) and (chunk.actions == 1).all()


def test_keys_with_a_slash_are_flat_and_lists_of_keys_are_nested() -> None:
    request = mapping(
        cameras={"front": ["observation", "images", "a/b"]},
        state_key=["observation", "state"],
        prompt_key="task/prompt",
        constants={"observation": {"robot": "toy"}, "type": "infer"},
    ).request(observation())
    assert set(request) == {"observation", "task/prompt", "type"} and request["type"] == "infer"
    assert set(request["observation"]) == {"robot", "images", "state"}
    assert set(request["observation"]["images"]) == {"a/b"}


def test_requests_do_not_share_their_constants() -> None:
    made = mapping(constants={"observation": {}}, state_key=["observation", "state"])
    assert made.request(observation()) is not made.request(observation())
    assert set(made.request(observation())["observation"]) == {"state"}


def test_fields_of_the_episode_are_sent_under_their_keys_only() -> None:
    assert set(mapping().request(observation(), first=True)) == {"image", "prompt"}
    told = mapping(episode_key="episode", step_key=["meta", "step"], first_key=["meta", "first"])
    request = told.request(observation(), first=True)
    assert request["episode"] == "suite/00/000" and request["meta"] == {"step": 12, "first": True}
    assert told.request(observation())["meta"]["first"] is False


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"state_key": "image"}, "the key 'image' is used twice"),
        ({"cameras": {"a": ["x", "y"], "b": ["x", "y"]}}, "is used twice"),
        ({"state_key": ["image", "state"]}, "the key 'image' is used for a value and for a map"),
        ({"constants": {"prompt": 1}}, "the key 'prompt' is used twice"),
        ({"action_order": [0, 0]}, "a position is given twice"),
        ({"gripper": {"open": 1, "closed": 1}}, "open and closed are the same value"),
        ({"cameras": {"front": {"key": "image", "flip": "up"}}}, "'none', 'vertical', 'horizontal' or 'both'"),
        ({"prompt_key": []}, "at least 1 item"),
        ({"image_size": [224]}, "Field required|at least 2 items"),
    ],
)
def test_contradictory_settings_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mapping(**settings)


# Images


def test_each_camera_has_a_flip_of_its_own() -> None:
    flipped = {"vertical": SEEN[::-1], "horizontal": SEEN[:, ::-1], "both": SEEN[::-1, ::-1], "none": SEEN}
    for flip, expected in flipped.items():
        assert (picture(cameras={"front": {"key": "image", "flip": flip}}) == expected).all(), flip
    two = mapping(cameras={"front": {"key": "a", "flip": "both"}, "back": "b"}).request(observation(("front", "back")))
    assert (two["a"] == SEEN[::-1, ::-1]).all() and (two["b"] == observation(("front", "back")).images["back"]).all()


def test_channels_may_be_first_and_in_the_order_of_opencv() -> None:
    assert (picture(channels="first") == SEEN.transpose(2, 0, 1)).all()
    assert (picture(colors="bgr") == SEEN[:, :, ::-1]).all()
    both = picture(channels="first", colors="bgr")
    assert both.shape == (3, 48, 64) and (both[0] == SEEN[:, :, 2]).all()
    sent = unpack(pack({"image": both}))["image"]
    assert (sent == both).all()


def test_images_are_padded_stretched_or_sent_as_rendered() -> None:
    assert (picture() == SEEN).all()
    assert picture(image_size=32).shape == (32, 32, 3) and not picture(image_size=32)[:4].any()
    stretched = picture(image_size=[32, 40], resize="stretch")
    assert stretched.shape == (32, 40, 3) and stretched[0].any() and stretched[-1].any()
    assert picture(image_size=[30, 64]).shape == (30, 64, 3)


def test_a_flip_comes_before_the_padding() -> None:
    """A server that flips its training images itself pads afterwards."""
    upside_down = picture(image_size=[49, 64], cameras={"front": {"key": "image", "flip": "vertical"}})
    assert (upside_down == resize_with_padding(SEEN[::-1], 49, 64)).all()


def test_resizing_keeps_the_aspect_and_pads_with_black() -> None:
    wide = np.full((30, 60, 3), 200, np.uint8)
    square = resize_with_padding(wide, 20, 20)
    assert square.shape == (20, 20, 3) and square.dtype == np.uint8
    assert (square[5:15] == 200).all() and not square[:5].any() and not square[15:].any()
    assert (resize_with_padding(wide.transpose(1, 0, 2), 20, 20) == square.transpose(1, 0, 2)).all()
    assert resize_with_padding(square, 20, 20) is square


# Replies


def chunk(actions: Any, **settings: Any) -> NDArray[np.float32]:
    return mapping(**settings).chunk({"actions": actions}, PoseDelta()).actions


ROWS = np.arange(14.0).reshape(2, 7)


@pytest.mark.parametrize(
    "actions",
    [ROWS, ROWS.tolist(), list(ROWS), ROWS[None], [ROWS.tolist()], ROWS.astype(np.float16), ROWS.astype(np.int64)],
    ids=["array", "list", "list of arrays", "batch of one", "list of one", "float16", "int64"],
)
def test_actions_may_come_in_several_forms(actions: Any) -> None:
    found = chunk(actions)
    assert found.dtype == np.float32 and found.flags.writeable and (found == ROWS).all()


def test_a_single_action_is_a_chunk_of_one() -> None:
    assert (chunk(ROWS[0]) == ROWS[:1]).all() and (chunk(ROWS[0].tolist()) == ROWS[:1]).all()


def test_actions_may_be_nested_and_under_another_key() -> None:
    nested = mapping(actions_key=["data", "actions"])
    assert (nested.chunk({"data": {"actions": ROWS}}).actions == ROWS).all()
    assert (mapping(actions_key="action").chunk({"action": ROWS}).actions == ROWS).all()


def test_the_servers_own_time_is_measured() -> None:
    measured = mapping().chunk(unpack(reply(array(ROWS), server_timing={"infer_ms": 4.0}))).measured
    assert measured == {"server_infer": 0.004}
    scalar = {b"__npgeneric__": True, b"data": 4.0, b"dtype": "<f8"}
    assert mapping().chunk(unpack(reply(array(ROWS), server_timing={"infer_ms": scalar}))).measured == measured
    assert mapping().chunk({"actions": ROWS, "server_timing": {"infer_ms": float("nan")}}).measured == {}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"action": ROWS}, r"no `actions`; it is a map with action \(2, 7\)\. Set `actions_key`"),
        ({"action.x": ROWS[:, 0], "action.gripper": ROWS[:, 6]}, r"with action\.gripper \(2,\), action\.x \(2,\)"),
        ({}, "it is an empty map"),
        (ROWS, r"it is an array of shape \(2, 7\)"),
        ([1, 2], "it is a list of 2"),
        (None, "it is nothing"),
        ({"actions": "none"}, "`actions` of its reply is the text 'none'. It must be an array"),
        ({"actions": [[0.0] * 7, [0.0]]}, "a list of 2, of unequal lengths"),
        ({"actions": [["a"] * 7]}, r"a list, an array of shape \(1, 7\), <U1"),
        ({"actions": {"arm": 1}}, "is a map with arm"),
        ({"actions": np.zeros((1, 7), bool)}, "bool"),
        ({"actions": np.zeros((2, 3, 7))}, r"shape \(2, 3, 7\), float64. It must have the shape"),
        ({"actions": np.float32(1)}, "is a float32"),
        ({"actions": np.zeros((10, 32))}, r"shape \(10, 32\), but an action has 7 numbers.*action_order"),
        ({"actions": np.zeros((10, 6))}, r"shape \(10, 6\), but an action has 7 numbers"),
        ({"actions": np.zeros(0)}, r"shape \(1, 0\), but an action has 7 numbers"),
    ],
)
def test_other_replies_are_named_with_what_was_found(answer: Any, message: str) -> None:
    with pytest.raises(ReplyError, match=message):
        mapping().chunk(answer, PoseDelta())


def test_wanted_numbers_are_taken_in_the_order_of_the_card() -> None:
    padded = np.arange(64.0).reshape(2, 32)
    assert (chunk(padded, action_order=[1, 2, 3, 4, 5, 6, 0]) == padded[:, [1, 2, 3, 4, 5, 6, 0]]).all()
    with pytest.raises(ReplyError, match=r"shape \(2, 7\), but `action_order` has position 7"):
        chunk(ROWS, action_order=[1, 2, 3, 4, 5, 6, 7])


# Grippers


def grip(values: list[float], **gripper: Any) -> list[float]:
    actions = np.zeros((len(values), 7))
    actions[:, 6] = values
    found = chunk(actions, gripper=gripper)
    assert not found[:, :6].any()
    return [float(value) for value in found[:, 6]]


def test_the_servers_open_and_closed_become_the_benchmarks() -> None:
    """LIBERO opens the gripper at -1. Values between stay in proportion; those beyond are not cut."""
    assert grip([0, 1, 0.25, 1.5], open=0, closed=1) == [-1, 1, -0.5, 2]
    assert grip([1, 0, 0.25], open=1, closed=0) == [-1, 1, 0.5]
    assert grip([1, -1, 0], open=1, closed=-1) == [-1, 1, 0]
    assert grip([0.04, 0.0], open=0.04, closed=0.0) == [-1, 1]


def test_two_grippers_may_have_conventions_of_their_own() -> None:
    settings = {"gripper": [{"index": 6, "open": -1, "closed": 1}, {"index": 13, "open": 0, "closed": 1}]}
    actions = np.full((1, 14), 0.5)
    found = mapping(**settings).chunk({"actions": actions}, JointTargets()).actions
    assert found[0, 6] == 0.25 and found[0, 13] == 0.5
    actions[:] = -1
    found = mapping(**settings).chunk({"actions": actions}, JointTargets()).actions
    assert found[0, 6] == 1 and found[0, 13] == 2 and found[0, 0] == -1


def test_a_gripper_that_the_benchmark_has_not_is_an_error() -> None:
    mapping(gripper={"open": 0, "closed": 1, "index": 6}).check("libero_object", PoseDelta())
    with pytest.raises(UserError, match="index 5 is no gripper of libero_object; it has 6"):
        mapping(gripper={"open": 0, "closed": 1, "index": 5}).check("libero_object", PoseDelta())
    space: ActionSpace = PoseDelta()
    space.grippers = ()
    with pytest.raises(UserError, match="the actions of reach have no gripper"):
        mapping(gripper={"open": 0, "closed": 1}).check("reach", space)


# Begin and end requests


def test_fields_of_an_episode_are_filled_in() -> None:
    message = {"reset": True, "prompt": "{instruction}", "meta": [{"id": "{episode}"}, "{seed}", "task {task}"]}
    assert fill(message, episode(3)) == {
        "reset": True,
        "prompt": "lift the mug",
        "meta": [{"id": "suite/00/003"}, 7, "task 0"],
    }
    check_fields(message)
    with pytest.raises(ValueError, match=r"\{prompt\} is none of \{instruction\}, \{episode\}"):
        check_fields({"meta": ["{prompt}"]})
