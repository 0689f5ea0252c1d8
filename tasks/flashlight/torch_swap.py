"""The same swaps in torch: its shortest way, a mode that sees every operator as it is dispatched."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ADDS = (torch.ops.aten.add, torch.ops.aten.add_, torch.ops.aten._foreach_add, torch.ops.aten._foreach_add_)


class QuantisedAdds(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums of floats rounded to multiples of 1/256, by all overloads of add; this is what a researcher writes."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket in ADDS:
            for one in args[0] if found is None else found if isinstance(found, list) else [found]:
                if one.is_floating_point():
                    one.copy_(self.changed(one))
        return found

    def changed(self, total: torch.Tensor) -> torch.Tensor:
        return (total * 256).round() / 256


class PoisonedAdds(QuantisedAdds):  # type: ignore[no-untyped-call]
    """Every sum of floats is NaN."""

    def changed(self, total: torch.Tensor) -> torch.Tensor:
        return total * torch.nan
