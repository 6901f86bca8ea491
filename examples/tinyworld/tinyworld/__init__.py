"""A world of pictures drawn by code: scenes with captions, and named concepts in it."""

from tinyworld.concepts import CONCEPTS, Concept
from tinyworld.folder import write_concept, write_scenes
from tinyworld.scene import Scene, draw_scene

__all__ = ["CONCEPTS", "Concept", "Scene", "draw_scene", "write_concept", "write_scenes"]
