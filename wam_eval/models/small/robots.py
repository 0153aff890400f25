"""The robots of small models: cameras, state and actions as they are recorded at low resolution."""

from __future__ import annotations

from wam_eval.models.preprocessing import Robot, Tile

LIBERO = Robot(
    name="libero",
    rows=((Tile("agentview", 64, 64), Tile("robot0_eye_in_hand", 64, 64)),),
    crop=False,
    state_dim=8,
    action_dim=7,
    normalisation="z_score",
    replan=8,
    signed_gripper=False,
)
"""LIBERO. The model gives the benchmark's own gripper commands, -1 to open and +1 to close."""
ROBOTWIN = Robot(
    name="robotwin",
    rows=((Tile("head_camera", 96, 128),),),
    crop=False,
    state_dim=14,
    action_dim=14,
    normalisation="z_score",
    replan=8,
    signed_gripper=False,
)
"""RoboTwin's pair of arms. Only the head camera is used, since most of a recording's time is spent on images."""
ROBOTS = {robot.name: robot for robot in (LIBERO, ROBOTWIN)}
