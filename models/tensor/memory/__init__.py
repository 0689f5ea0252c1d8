"""Who owns the bytes: managers of memory behind one interface, recorded, replayed and really used (section 4.2)."""

from models.tensor.memory.arena import Arena, Plan, plan
from models.tensor.memory.caching import Caching
from models.tensor.memory.managed_backend import ManagedBackend
from models.tensor.memory.manager import MemoryManager, Naive, Place
from models.tensor.memory.trace import Event, Recorder, Replayed, replay

__all__ = [
    "Arena",
    "Caching",
    "Event",
    "ManagedBackend",
    "MemoryManager",
    "Naive",
    "Place",
    "Plan",
    "Recorder",
    "Replayed",
    "plan",
    "replay",
]
