"""Puck: a puck on an air table has to stop on a target, in calm air or in wind. The physics is MuJoCo."""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wam_eval.benchmark import ActionPart, ActionSpace, Averaging, Axis, Benchmark, Camera, Check, Installation
from wam_eval.config import BenchmarkConfig, ProtocolCard, SuiteConfig, TaskConfig
from wam_eval.episode import Episode
from wam_eval.errors import UserError
from wam_eval.hosting.opengl import choose_renderer
from wam_eval.hosting.package_identity import package_versions
from wam_eval.observation import Request
from wam_eval.protocol import AssetsRecord
from wam_eval.simulator import Renderer, Simulator

PACKAGES = ("mujoco", "numpy")
"""Packages whose versions can change a score."""
TARGETS = {"left": (-0.6, 0.3), "right": (0.6, 0.3)}
"""Positions of the targets in metres."""
CAMERAS = ("top", "side")
STATE_DIM = 6

MODEL = """
<mujoco model="puck">
  <option timestep="0.01"/>
  <visual>
    <global offwidth="1024" offheight="1024"/>
    <headlight ambient="0.5 0.5 0.5" diffuse="0.3 0.3 0.3" specular="0 0 0"/>
  </visual>
  <worldbody>
    <camera name="top" pos="0 0 2.6"/>
    <camera name="side" pos="0 -2.2 1.2" xyaxes="1 0 0 0 0.5 0.87"/>
    <geom name="table" type="plane" size="1 1 0.1" rgba="0.8 0.8 0.75 1"/>
    <site name="target" type="cylinder" size="0.1 0.002" pos="1 1 0" rgba="0.1 0.6 0.2 1"/>
    <body name="puck">
      <joint name="x" type="slide" axis="1 0 0" damping="0.5"/>
      <joint name="y" type="slide" axis="0 1 0" damping="0.5"/>
      <geom type="cylinder" size="0.06 0.02" pos="0 0 0.03" rgba="0.8 0.2 0.1 1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="x" gear="4"/>
    <motor joint="y" gear="4"/>
  </actuator>
</mujoco>
"""


class PuckSettings(BaseModel):
    """Settings of the benchmark, with the values that its protocol cards may give them.

    Attributes:
        control_hz: control steps per second.
        resolution: height and width of images in pixels.
        wind: mean force of the wind in windy tasks, in newtons.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    control_hz: int = Field(default=20, ge=5, le=100)
    resolution: int = Field(default=128, ge=16, le=1024)
    wind: float = Field(default=1.0, ge=0.0)


class Force(ActionSpace):
    """Two numbers from -1 to 1: the force on the puck along x and y, in units of 4 N."""

    dim = 2
    low = -np.ones(2, np.float32)
    high = np.ones(2, np.float32)
    clips = True
    parts = (ActionPart("force", first=0, size=2, kind="change", unit="N", scale=4.0),)

    def hold(self, state: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """No force."""
        del state
        return np.zeros((count, self.dim), np.float32)

    def rest(self, last: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """No force; there is no gripper to keep."""
        return self.hold(last, count)

    def random(self, state: NDArray[np.float32], count: int, stream: np.random.Generator) -> NDArray[np.float32]:
        """Uniform forces."""
        del state
        return stream.uniform(-1.0, 1.0, (count, self.dim)).astype(np.float32)


class PuckInstallation(Installation):
    """Puck as installed on this machine. It differs from the default in its renderer only."""

    def renderer(self, *, images: bool = True) -> Renderer:
        """The OpenGL renderer that MuJoCo works with here."""
        return choose_renderer() if images else super().renderer(images=False)


class Puck(Benchmark):
    """The benchmark. Its configuration and its suite are in the class, so that it needs no YAML files."""

    title = "Puck"
    Settings = PuckSettings
    axes = (
        Axis("wind", ("calm", "windy"), plural="winds", sizes={"calm": 6, "windy": 6}, reference="calm"),
        Axis("mass", (1, 2, 3), plural="masses"),
    )
    averaging = Averaging(over="wind", groups=("calm", "windy"))
    default_config = BenchmarkConfig(
        benchmark="wam_eval_puck.benchmark:Puck",
        default_protocol="fast",
        protocols={
            "fast": ProtocolCard(
                source="this example: 20 control steps per second",
                seed=0,
                settings={"control_hz": 20, "resolution": 128, "wind": 1.0},
                rules={"success": "the puck is within 0.1 m of the target and slower than 0.2 m/s"},
            ),
            "slow": ProtocolCard(
                source="this example: 10 control steps per second",
                seed=0,
                settings={"control_hz": 10, "resolution": 128, "wind": 1.0},
                rules={"success": "the puck is within 0.1 m of the target and slower than 0.2 m/s"},
            ),
        },
    )
    suites: ClassVar = {
        "puck": SuiteConfig(
            title="Puck",
            benchmark="puck",
            step_limits={"fast": 160, "slow": 80},
            trials=10,
            tasks=tuple(
                TaskConfig(
                    name=f"{side}_{wind}_{mass}kg",
                    instruction=f"stop the puck on the {side} target",
                    axes={"wind": wind, "mass": mass},
                )
                for side in TARGETS
                for wind in ("calm", "windy")
                for mass in (1, 2, 3)
            ),
        )
    }

    def action_space(self, settings: Mapping[str, Any]) -> ActionSpace:
        """The same in all protocols."""
        return Force()

    def cameras(self, settings: Mapping[str, Any]) -> tuple[Camera, ...]:
        """A camera above the table and one beside it."""
        size = int(settings["resolution"])
        return tuple(Camera(name, size, size) for name in CAMERAS)

    def control_hz(self, settings: Mapping[str, Any]) -> float:
        """As set by the protocol."""
        return float(settings["control_hz"])

    def state_dim(self, settings: Mapping[str, Any]) -> int:
        """Position, velocity and target, two numbers each."""
        return STATE_DIM

    def detect(self, versions: Mapping[str, str]) -> Installation:
        """Find MuJoCo, and check that it is the version that the protocol card asks for."""
        found = package_versions(PACKAGES, self.config.python)
        for name, version in versions.items():
            if found.get(name) != version:
                raise UserError(f"Puck needs {name} {version}, found {found.get(name)}: pip install {name}=={version}")
        return PuckInstallation(
            simulator="wam_eval_puck.benchmark:PuckSimulator",
            python=self.config.python or sys.executable,
            settings={},
            versions=found,
            assets=AssetsRecord(kind="official", digest=hashlib.sha256(MODEL.encode()).hexdigest()),
            packages=PACKAGES,
        )

    def checks(self, simulate: bool) -> Sequence[Callable[[], Check]]:
        """One check for ``wam-eval doctor``."""
        return (self._check_installation,)

    def _check_installation(self) -> Check:
        try:
            installation = self.detect({})
        except UserError as error:
            return Check("Puck", "fail", str(error), "pip install mujoco")
        return Check("Puck", "ok", f"MuJoCo {installation.versions['mujoco']}")


class PuckSimulator(Simulator):
    """Plays one episode at a time in a process of its own.

    Args:
        settings: settings of the protocol.
    """

    action_dim = 2

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = PuckSettings.model_validate(settings)
        self._model = mujoco.MjModel.from_xml_string(MODEL)
        self._data = mujoco.MjData(self._model)
        self._substeps = round(1 / (self._settings.control_hz * self._model.opt.timestep))
        self._images: mujoco.Renderer | None = None

    def reset(self, episode: Episode, request: Request) -> None:
        """Place the puck and the target; the seed and the episode determine everything."""
        side, wind, mass = episode.task_name.removesuffix("kg").split("_")
        self._random = np.random.default_rng((episode.seed, episode.task, episode.index))
        self._wind = self._settings.wind if wind == "windy" else 0.0
        self._target = np.array(TARGETS[side])
        self._model.body("puck").mass[:] = int(mass)
        self._model.site("target").pos[:2] = self._target
        mujoco.mj_setConst(self._model, self._data)
        mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:] = self._random.uniform(-0.2, 0.2, 2)

    def advance(self, action: NDArray[np.float64], cameras: tuple[str, ...]) -> bool:
        """Apply the force and a gust of wind for one control step."""
        self._data.ctrl[:] = np.clip(action, -1.0, 1.0)
        self._data.qfrc_applied[:] = self._wind * self._random.normal([1.0, 0.0], 0.5)
        for _ in range(self._substeps):
            mujoco.mj_step(self._model, self._data)
        distance = np.linalg.norm(self._target - self._data.qpos)
        return bool(distance < 0.1 and np.linalg.norm(self._data.qvel) < 0.2)

    def render(self, cameras: tuple[str, ...]) -> dict[str, NDArray[np.uint8]]:
        """Images of the present state. The renderer is made when the first image is requested."""
        if self._images is None:
            self._images = mujoco.Renderer(self._model, self._settings.resolution, self._settings.resolution)
        # Positions of bodies, cameras and lights follow from the state, which these calls do not change.
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        images = {}
        for camera in cameras:
            self._images.update_scene(self._data, camera)
            images[camera] = self._images.render().copy()
        return images

    def state(self) -> NDArray[np.float32]:
        """Position, velocity and target in metres and seconds, float32 (6,)."""
        return np.concatenate([self._data.qpos, self._data.qvel, self._target]).astype(np.float32)

    def get_state(self) -> bytes:
        """MuJoCo's state and that of the random gusts: without it a rollback would meet other gusts."""
        return pickle.dumps((self._physics(), self._random.bit_generator.state))

    def set_state(self, blob: bytes) -> None:
        """Return to a state of the current episode."""
        physics, self._random.bit_generator.state = pickle.loads(blob)
        mujoco.mj_setState(self._model, self._data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of MuJoCo's state."""
        return {"state": hashlib.sha256(self._physics().tobytes()).hexdigest()}

    def close(self) -> None:
        """Free the renderer."""
        if self._images is not None:
            self._images.close()

    def _physics(self) -> NDArray[np.float64]:
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.empty(mujoco.mj_stateSize(self._model, kind))
        mujoco.mj_getState(self._model, self._data, physics, kind)
        return physics
