"""Flashlight in small: a tensor library of which every internal can be changed for another (Kahn et al. 2022).

    from models import tensor as ft

    x = ft.tensor([[1.0, 2.0]], requires_grad=True)
    ft.sum(x * x).backward()

`backend` says which primitives there are, `using` runs everything on another backend, `tape` is the way back, `memory`
who owns the bytes, `distributed` how processes add up gradients, `nn` what networks are made of.
"""

from models.tensor import elementwise, products, reductions, shaping
from models.tensor.active import active, no_gradients, using
from models.tensor.backend import FUSED, PRIMITIVES, REQUIRED, TensorBackend, missing
from models.tensor.elementwise import (
    absolute,
    add,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    cast,
    ceil,
    clip,
    cos,
    divide,
    equal,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    gelu,
    greater,
    greater_equal,
    isinf,
    isnan,
    left_shift,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    relu,
    remainder,
    right_shift,
    rint,
    sigmoid,
    sign,
    silu,
    sin,
    sqrt,
    subtract,
    tanh,
    where,
)
from models.tensor.products import avg_pool2d, conv2d, layer_norm, linear, matmul, max_pool2d
from models.tensor.reductions import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    argsort,
    count_nonzero,
    cumsum,
    log_softmax,
    logsumexp,
    mean,
    median,
    norm,
    prod,
    softmax,
    sort,
    std,
    sum,
    topk,
    var,
)
from models.tensor.shaping import (
    arange,
    broadcast_to,
    concatenate,
    flip,
    identity,
    index,
    nonzero,
    one_hot,
    ones,
    pad,
    rand,
    randn,
    reshape,
    roll,
    stack,
    swap,
    take,
    take_along_axis,
    tile,
    transpose,
    tril,
    triu,
    zeros,
)
from models.tensor.tensor import Tensor, tensor

__all__ = [name for name in globals() if not name.startswith("_")]
