"""A graph in the clothes of an ONNX Runtime session, as far as insightface looks at one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from overt_detect.adapters.graphs import Blob, Graph, Tensor


class Session:
    """What insightface's classes take for their `session`; as safe between threads as the graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def get_inputs(self) -> list[Tensor]:
        return [self._graph.input]

    def get_outputs(self) -> list[Tensor]:
        return list(self._graph.outputs)

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Blob]) -> list[Blob]:
        found = self._graph(feed[self._graph.input.name])
        return [found[name] for name in names or found]
