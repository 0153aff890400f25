"""Offscreen rendering of a LIBERO scene with robosuite's settings, created at the first picture.

Pixels equal robosuite's own: the same scene options (visual geoms on, collision geoms off, up to 1,000 geoms).
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray


class Renderer:
    """A GL context for one compiled model.

    Args:
        model: ``mujoco.MjModel``.
        height, width: size of the pictures in pixels.
    """

    def __init__(self, model: Any, height: int, width: int) -> None:
        self._model = model
        self._size = (height, width)
        self._gl = mujoco.GLContext(width, height)
        self._gl.make_current()
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._options = mujoco.MjvOption()
        self._options.geomgroup[0] = 0
        self._options.geomgroup[1] = 1
        self._perturb = mujoco.MjvPerturb()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)

    def picture(self, data: Any, camera: str) -> NDArray[np.uint8]:
        """Render a camera from ``mujoco.MjData`` as it is, without recomputing kinematics.

        Returns:
            uint8 (H, W, 3), the bottom row first, as OpenGL and robosuite give it.
        """
        height, width = self._size
        self._camera.fixedcamid = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
        mujoco.mjv_updateScene(
            *(self._model, data, self._options, self._perturb, self._camera),
            *(mujoco.mjtCatBit.mjCAT_ALL, self._scene),
        )
        viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(viewport, self._scene, self._context)
        pixels = np.empty((height, width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(pixels, None, viewport, self._context)
        return pixels

    def close(self) -> None:
        """Free the GL context."""
        self._context.free()
        self._gl.free()
