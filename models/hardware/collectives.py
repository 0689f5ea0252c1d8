"""Seconds of one collective on a hierarchy of NVLink inside nodes and a rail-optimised network between them.

`size` is always the full, unsharded buffer S in bytes, n the ranks, a the latency of a hop and B the bandwidth of the
slowest link: ring all-gather = ring reduce-scatter = (n-1) a + (n-1)/n S/B; ring all-reduce twice that;
double binary tree all-reduce 2 log2(nodes) a + 2 S/B. One rank communicates nothing. All functions take arrays.
"""

from dataclasses import dataclass

import numpy as np

from models.hardware.columns import Numbers, Record


@dataclass(frozen=True)
class Group:
    """The ranks of a collective: how many, how many of them share a node, and over how many nodes."""

    ranks: Numbers
    local: Numbers
    nodes: Numbers
    span: Numbers
    """Nodes from the first to the last rank: decides whether the traffic leaves the pod."""


def group(ranks: Numbers, stride: Numbers, cluster: Record) -> Group:
    """Every `stride`-th GPU, `ranks` of them, on nodes that are filled in order."""
    local = np.minimum(ranks, np.maximum(cluster.gpus_per_node // stride, 1))
    nodes = -(-ranks // local)
    span = -(-(ranks * stride) // cluster.gpus_per_node)
    return Group(ranks, local, nodes, span)


@dataclass(frozen=True)
class Links:
    """What a group's rings run on: latencies of the kinds of hop and of a start (s), bandwidths (bytes/s).

    `nic` is one GPU's share of its node's cards; a ring through `local` GPUs of a node has that many shares.
    """

    nvlink_hop: Numbers
    nic_hop: Numbers
    tree_hop: Numbers
    start: Numbers
    nvlink: Numbers
    nic: Numbers


def links(g: Group, cluster: Record, calibration: Record) -> Links:
    """The links as calibrated: the network is slowed by congestion with every doubling of nodes, and outside a pod."""
    k = calibration
    crowded = 1 + k.congestion_per_doubling * np.log2(np.maximum(g.span, 1))
    beyond = np.where(g.span > cluster.pod_nodes, cluster.oversubscription, 1.0)
    share = cluster.rails * cluster.nic_gb_s / cluster.gpus_per_node
    return Links(
        nvlink_hop=1e-6 * (cluster.nvlink_latency_us + k.nvlink_hop_us),
        nic_hop=1e-6 * (cluster.nic_latency_us + k.nic_hop_us),
        tree_hop=1e-6 * (cluster.nic_latency_us + k.nic_hop_us + k.tree_hop_us),
        start=1e-6 * k.collective_start_us,
        nvlink=1e9 * cluster.nvlink_gb_s * k.nvlink_efficiency,
        nic=1e9 * share * k.nic_efficiency / (crowded * beyond),
    )


def ring_bandwidth(g: Group, link: Links) -> Numbers:
    """Bytes/s of the slowest link of the rings: NVLink within a node, else the smaller of NVLink and the rails."""
    return np.where(g.nodes > 1, np.minimum(link.nvlink, g.local * link.nic), link.nvlink)


def ring_latency(g: Group, link: Links) -> Numbers:
    """Seconds of the n-1 hops of a ring; of them as many cross the network as there are nodes."""
    crossing = np.where(g.nodes > 1, np.minimum(g.nodes, g.ranks - 1), 0)
    return crossing * link.nic_hop + (g.ranks - 1 - crossing) * link.nvlink_hop


def tree_latency(g: Group, link: Links) -> Numbers:
    """Seconds of one way through a tree: log2 of the nodes over the network, a chain within each node."""
    return np.log2(np.maximum(g.nodes, 1)) * link.tree_hop + (g.local - 1) * link.nvlink_hop


def all_gather(size: Numbers, g: Group, cluster: Record, calibration: Record) -> Numbers:
    """Seconds of an all-gather; `gather_algorithm` "tree" of the cluster replaces the ring's latency only."""
    link = links(g, cluster, calibration)
    latency = np.where(cluster.gather_algorithm == "tree", tree_latency(g, link), ring_latency(g, link))
    seconds = link.start + latency + (g.ranks - 1) / g.ranks * size / ring_bandwidth(g, link)
    return np.where(g.ranks > 1, seconds, 0.0)


def reduce_scatter(size: Numbers, g: Group, cluster: Record, calibration: Record) -> Numbers:
    """Seconds of a reduce-scatter, equal to the all-gather's."""
    return all_gather(size, g, cluster, calibration)


def ring_all_reduce(size: Numbers, g: Group, cluster: Record, calibration: Record) -> Numbers:
    """Seconds of 2 (n-1) hops and 2 (n-1)/n S/B, started once."""
    link = links(g, cluster, calibration)
    seconds = link.start + 2 * ring_latency(g, link) + 2 * (g.ranks - 1) / g.ranks * size / ring_bandwidth(g, link)
    return np.where(g.ranks > 1, seconds, 0.0)


def tree_all_reduce(size: Numbers, g: Group, cluster: Record, calibration: Record) -> Numbers:
    """Seconds of a double binary tree, up and down."""
    link = links(g, cluster, calibration)
    bandwidth = ring_bandwidth(g, link) * calibration.tree_efficiency
    seconds = link.start + 2 * tree_latency(g, link) + 2 * size / bandwidth
    return np.where(g.ranks > 1, seconds, 0.0)


def all_reduce(size: Numbers, g: Group, cluster: Record, calibration: Record) -> Numbers:
    """Seconds of the better of ring and tree, as NCCL chooses."""
    ring = ring_all_reduce(size, g, cluster, calibration)
    return np.minimum(ring, tree_all_reduce(size, g, cluster, calibration))


def all_to_all(size: Numbers, g: Group, cluster: Record, calibration: Record) -> Numbers:
    """Seconds in which each rank sends 1/n of its `size` bytes to each other one; peers in the node by NVLink."""
    link = links(g, cluster, calibration)
    inside = (g.local - 1) / g.ranks * size / link.nvlink
    outside = (g.ranks - g.local) / g.ranks * size / link.nic
    seconds = link.start + ring_latency(g, link) + np.maximum(inside, outside)
    return np.where(g.ranks > 1, seconds, 0.0)


def send(size: Numbers, g: Group, cluster: Record, calibration: Record) -> Numbers:
    """Seconds from one rank of the group to the next, over the network where the group spans nodes."""
    link = links(g, cluster, calibration)
    over_network = link.nic_hop + size / link.nic
    inside = link.nvlink_hop + size / link.nvlink
    return np.where(g.ranks > 1, link.start + np.where(g.nodes > 1, over_network, inside), 0.0)


def bus_bandwidth(kind: Numbers, size: Numbers, nodes: Numbers, cluster: Record, calibration: Record) -> Numbers:
    """GB/s of an "all_reduce", "all_gather" or "reduce_scatter" over whole nodes, as nccl-tests reports them."""
    g = group(nodes * cluster.gpus_per_node, 1, cluster)
    reduced = all_reduce(size, g, cluster, calibration)
    gathered = all_gather(size, g, cluster, calibration)
    moved = (g.ranks - 1) / g.ranks * size
    is_reduce = kind == "all_reduce"
    return 1e-9 * np.where(is_reduce, 2 * moved, moved) / np.where(is_reduce, reduced, gathered)
