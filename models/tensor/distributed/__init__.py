"""Processes that add up their gradients: collectives behind one interface, and reducers that use them (section 4.4)."""

from models.tensor.distributed.collective import Collective
from models.tensor.distributed.reducers import BucketedReducer, InlineReducer, Reducer
from models.tensor.distributed.shared_memory import SharedMemoryRing
from models.tensor.distributed.sockets import SocketRing

__all__ = ["BucketedReducer", "Collective", "InlineReducer", "Reducer", "SharedMemoryRing", "SocketRing"]
