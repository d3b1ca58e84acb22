"""One update of 64 float32 tensors from rank 0 to every rank over gloo, as training loops in PyTorch do it.

  python3 torch_updates.py MIB RANKS ROUNDS     prints one JSON line: milliseconds of each round on rank 0, barrier to barrier
"""
import json
import multiprocessing
import os
import socket
import sys
import time

TENSORS = 64


def run(rank, ranks, mib, rounds, port, queue):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    elements = max(1, mib * 2**20 // 4 // TENSORS)
    tensors = [torch.full((elements,), float(rank)) for _ in range(TENSORS)]
    times = []
    for turn in range(rounds):
        if rank == 0:
            for tensor in tensors:
                tensor.fill_(turn)
        dist.barrier()
        begin = time.perf_counter()
        for tensor in tensors:
            dist.broadcast(tensor, 0)
        dist.barrier()
        times.append((time.perf_counter() - begin) * 1000)
    assert all(float(tensor[0]) == rounds - 1 for tensor in tensors)
    if rank == 0:
        queue.put(times)
    dist.destroy_process_group()


if __name__ == "__main__":
    mib, ranks, rounds = (int(text) for text in sys.argv[1:4])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    children = [context.Process(target=run, args=(rank, ranks, mib, rounds, port, queue)) for rank in range(ranks)]
    for child in children:
        child.start()
    print(json.dumps({"ms": queue.get()}))
    for child in children:
        child.join()
