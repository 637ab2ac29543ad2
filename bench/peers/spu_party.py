"""Network evaluations by secretflow-spu: each party a process, brpc over TCP between them, all on this machine.

    python spu_party.py JOB.json         in an environment of its own; the job is `bench.predictions_peers`'

Decides: that nothing measured is unkind to the peer. Links are bare TCP; programs are compiled and model and inputs
shared before the clock starts; the answer's opening is not counted. SEMI2K's dealer is SPU's default, its own first
party, so its preparation costs no third process. Seconds are the slowest party's, of a whole batch, once warm.
Refuses to know: this project; it imports nothing of it.
"""

import json
import multiprocessing
import queue
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

PARTIES = {"SPU ABY3": 3, "SPU SEMI2K": 2}
_SENT = re.compile(r"Link details: total send bytes (\d+), recv bytes \d+, send actions (\d+)")


def forward_of(layers: list[dict[str, Any]]) -> Callable[..., Any]:
    """The network, as a jax function of (weights, inputs)."""
    import jax
    import jax.numpy as jnp

    def forward(weights: dict[str, Any], x: Any) -> Any:  # noqa: ANN401
        for layer in layers:
            weight: Any = weights.get(f"{layer['name']}.weight")
            bias: Any = weights.get(f"{layer['name']}.bias")
            if layer["kind"] == "linear":
                x = x @ weight.T + bias
            elif layer["kind"] == "convolution":
                x = jax.lax.conv(x, weight, (1, 1), "VALID") + bias.reshape(1, -1, 1, 1)
            elif layer["kind"] == "relu":
                x = jnp.maximum(x, 0)
            elif layer["kind"] == "flatten":
                x = x.reshape(x.shape[0], -1)
            else:
                largest = layer["kind"] == "max"
                start, fold = (-jnp.inf, jax.lax.max) if largest else (0.0, jax.lax.add)
                x = jax.lax.reduce_window(x, start, fold, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
                x = x if largest else x * 0.25
        return x

    return forward


def compiled(layers: list[dict[str, Any]], weights: dict[str, Any], inputs: Any) -> dict[str, Any]:  # noqa: ANN401
    """The program for one batch, as its bytes, and the values it takes."""
    import jax
    from spu import libspu
    from spu.utils import frontend

    values = [*jax.tree_util.tree_leaves(weights), inputs]
    names = [f"in{at}" for at in range(len(values))]
    executable, _ = frontend.compile(
        frontend.Kind.JAX, forward_of(layers), (weights, inputs), {}, names,
        [libspu.Visibility.VIS_SECRET] * len(names), lambda out: [f"out{at}" for at in range(len(out))],
    )  # fmt: skip
    return {"executable": executable.SerializeToString(), "values": values, "names": names}


def config_of(protocol: str, profile: bool = False) -> Any:  # noqa: ANN401
    """64-bit rings and SPU's own defaults."""
    from spu import libspu

    kind = getattr(libspu.ProtocolKind, protocol.removeprefix("SPU "))
    config = libspu.RuntimeConfig(protocol=kind, field=libspu.FieldType.FM64)
    config.enable_hal_profile = config.enable_pphlo_profile = profile
    return config


def party(rank: int, protocol: str, ports: list[int], cases: Any, answers: Any, log: str) -> None:  # noqa: ANN401
    """One party's whole life: every program once to warm up, which also counts what is sent, then timed."""
    from spu import api, libspu

    options = libspu.logging.LogOptions()
    options.system_log_path = options.trace_log_path = log
    options.enable_console_logger = False
    libspu.logging.setup_logging(options)
    desc = libspu.link.Desc()
    for number, port in enumerate(ports):
        desc.add_party(f"party{number}", f"127.0.0.1:{port}")
    link = libspu.link.create_brpc(desc, rank)
    for at, case in enumerate(cases):
        executable = libspu.Executable()
        executable.ParseFromString(case["executable"])
        seconds = []
        for run in range(1 + case["repeats"]):
            runtime = api.Runtime(link, config_of(protocol, profile=run == 0))
            for name, shares in zip(case["names"], case["shares"], strict=True):
                runtime.set_var(name, shares)
            link.barrier()
            began = time.perf_counter()
            runtime.run(executable)
            seconds.append(time.perf_counter() - began)
            link.barrier()
        sent = _SENT.findall(Path(log).read_text(errors="replace"))[at]
        answers.put((rank, seconds[1:], runtime.get_var("out0"), [int(number) for number in sent]))
    link.stop_link()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def cases_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    """All programs of the job, compiled."""
    cases = []
    for asked in job["cases"]:
        tensors = load_file(Path(job["folder"], f"{asked['network']}.safetensors"))
        inputs, logits = tensors.pop("inputs")[: asked["batch"]], tensors.pop("logits")[: asked["batch"]]
        layers = job["networks"][asked["network"]]
        cases.append(asked | compiled(layers, tensors, inputs) | {"logits": logits})
    return cases


def evaluate(protocol: str, cases: list[dict[str, Any]], folder: str) -> Iterator[dict[str, Any]]:
    """Every case by the processes of one protocol."""
    from spu import api, libspu

    count = PARTIES[protocol]
    io, ports, answers = api.Io(count, config_of(protocol)), free_ports(count), multiprocessing.Queue()  # type: ignore[var-annotated]
    of_rank: list[list[Any]] = [[] for _ in range(count)]
    for case in cases:
        shared = [io.make_shares(value, libspu.Visibility.VIS_SECRET) for value in case["values"]]
        program = {key: case[key] for key in ("executable", "names", "repeats")}
        for rank, mine in enumerate(of_rank):
            mine.append(program | {"shares": [shares[rank] for shares in shared]})
    parties = [
        multiprocessing.Process(target=party, args=(rank, protocol, ports, mine, answers, f"{folder}/{rank}"))
        for rank, mine in enumerate(of_rank)
    ]
    for process in parties:
        process.start()
    for case in cases:
        _, seconds, shares, sent = zip(
            *sorted(_all_of(answers, parties), key=lambda one: one[0]), strict=True
        )
        found = io.reconstruct(list(shares))
        yield {
            "peer": protocol, "network": case["network"], "batch": case["batch"],
            "seconds": [max(each) for each in zip(*seconds, strict=True)],
            "error": float(np.abs(found - case["logits"]).max()),
            "bytes": sum(each[0] for each in sent), "exchanges": max(each[1] for each in sent),
        }  # fmt: skip
    for process in parties:
        process.join()


def _all_of(answers: Any, parties: list[Any]) -> list[Any]:  # noqa: ANN401
    """One answer of each party; a party that died ends the run."""
    told: list[Any] = []
    while len(told) < len(parties):
        try:
            told.append(answers.get(timeout=1))
        except queue.Empty:
            if any(process.exitcode for process in parties):
                for process in parties:
                    process.kill()
                raise SystemExit("a party ended; its own words stand above") from None
    return told


def main() -> None:
    """One JSON object a line for each case of each protocol."""
    job = json.loads(Path(sys.argv[1]).read_text())
    cases = cases_of(job)
    for protocol in PARTIES:
        with tempfile.TemporaryDirectory() as folder:
            for line in evaluate(protocol, cases, folder):
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
