"""Network evaluations by CrypTen 0.4.1: two parties, each a process, gloo over TCP between them, on this machine.

    python crypten_party.py JOB.json         in an environment of its own; the job is `bench.predictions_peers`'

Decides: that nothing measured is unkind to the peer. Links are bare TCP; model and inputs are shared before the clock
starts; the answer's opening is not counted. Both dealers are measured: CrypTen's default, its own first party, which
then knows every secret, and a third process that only deals, which is what a user who means it deploys. Seconds are
the slowest party's, of a whole batch, once warm.
Refuses to know: this project; it imports nothing of it.
"""

import json
import multiprocessing
import os
import queue
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

DEALERS = {"CrypTen, unsafe dealer": "TFP", "CrypTen, third-party dealer": "TTP"}


def imported() -> Any:  # noqa: ANN401
    """CrypTen without its ONNX converter, which wants a torch of its time; models are built of its own layers."""
    converter = types.ModuleType("crypten.nn.onnx_converter")
    for name in ("from_onnx", "from_pytorch", "from_tensorflow"):
        setattr(converter, name, None)
    converter.TF_AND_TF2ONNX = False  # type: ignore[attr-defined]
    sys.modules["crypten.nn.onnx_converter"] = converter
    import crypten

    return crypten


def forward(layers: list[dict[str, str]], weights: dict[str, Any], x: Any) -> Any:  # noqa: ANN401
    """The network, as CrypTen's own layers compute it."""
    for layer in layers:
        weight: Any = weights.get(f"{layer['name']}.weight")
        bias: Any = weights.get(f"{layer['name']}.bias")
        if layer["kind"] == "linear":
            x = x.matmul(weight.t()).add(bias)
        elif layer["kind"] == "convolution":
            x = x.conv2d(weight).add(bias.unsqueeze(-1).unsqueeze(-1))
        elif layer["kind"] == "relu":
            x = x.relu()
        elif layer["kind"] == "flatten":
            x = x.flatten(start_dim=1)
        else:
            x = x.max_pool2d(2) if layer["kind"] == "max" else x.avg_pool2d(2)
    return x


def party(rank: int, dealer: str, job: dict[str, Any], meeting: str, answers: Any) -> None:  # noqa: ANN401
    """A party's whole life, or the dealer's: every case once to warm up, which also counts, then timed."""
    torch.set_num_threads(1)
    os.environ |= {
        "WORLD_SIZE": "2", "RANK": str(rank), "RENDEZVOUS": f"file://{meeting}", "DISTRIBUTED_BACKEND": "gloo",
    }  # fmt: skip
    crypten = imported()
    crypten.cfg.mpc.provider = DEALERS[dealer]
    if rank == 2:
        crypten.mpc.provider.TTPServer()
        return
    crypten.init()
    for case in job["cases"]:
        answers.put((rank, *_answer(crypten, job, case)))
    crypten.uninit()


def _answer(crypten: Any, job: dict[str, Any], case: dict[str, Any]) -> tuple[Any, ...]:  # noqa: ANN401
    """Seconds, largest error, bytes and rounds of one case."""
    from crypten import communicator

    tensors = load_file(Path(job["folder"], f"{case['network']}.safetensors"))
    inputs, logits = tensors.pop("inputs")[: case["batch"]], tensors.pop("logits")[: case["batch"]]
    weights = {name: crypten.cryptensor(value, src=0) for name, value in tensors.items()}
    x, layers = crypten.cryptensor(inputs, src=1), job["networks"][case["network"]]
    link = communicator.get()
    with crypten.no_grad():
        crypten.cfg.communicator.verbose = True
        link.reset_communication_stats()
        answer, sent = forward(layers, weights, x), link.get_communication_stats()
        crypten.cfg.communicator.verbose = False
        seconds = []
        for _ in range(case["repeats"]):
            link.barrier()
            began = time.perf_counter()
            forward(layers, weights, x)
            seconds.append(time.perf_counter() - began)
        error = float((answer.get_plain_text() - logits).abs().max())
    return seconds, error, sent["bytes"], sent["rounds"]


def evaluate(dealer: str, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every case by the processes of one dealer."""
    answers: Any = multiprocessing.Queue()
    with tempfile.TemporaryDirectory() as folder:
        parties = [
            multiprocessing.Process(target=party, args=(rank, dealer, job, f"{folder}/meeting", answers))
            for rank in range(3 if DEALERS[dealer] == "TTP" else 2)
        ]
        for process in parties:
            process.start()
        for case in job["cases"]:
            _, seconds, errors, sent, rounds = zip(*_both(answers, parties), strict=True)
            yield {
                "peer": dealer, "network": case["network"], "batch": case["batch"],
                "seconds": [max(each) for each in zip(*seconds, strict=True)],
                "error": max(errors), "bytes": sum(sent), "exchanges": max(rounds),
            }  # fmt: skip
        for process in parties:
            process.join()


def _both(answers: Any, parties: list[Any]) -> list[Any]:  # noqa: ANN401
    """One answer of each of the two; a process that died ends the run."""
    told: list[Any] = []
    while len(told) < 2:
        try:
            told.append(answers.get(timeout=1))
        except queue.Empty:
            if any(process.exitcode for process in parties):
                for process in parties:
                    process.kill()
                raise SystemExit("a party ended; its own words stand above") from None
    return told


def main() -> None:
    """One JSON object a line for each case of each dealer."""
    job = json.loads(Path(sys.argv[1]).read_text())
    for dealer in DEALERS:
        for line in evaluate(dealer, job):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
