"""Two or more single-threaded processes that share one step of training.

OpenMP threads wait for the slowest of them after every operation, so one busy core stalls them all. Here each process
takes the next small piece of work (some sequences, then some matrices to update) whenever it is free: a process that
gets half a core does half the work, and nobody waits for longer than one piece.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier
from typing import Iterator

import torch
import torch.multiprocessing as mp
from torch import Tensor

from model import Base, Shape
from muon import muon_update


@dataclass
class Shared:
    """What all processes see: weights, one gradient and loss slot each, momentum, the batch, the step's settings."""

    weights: list[Tensor]
    momentum: list[Tensor]
    gradients: list[list[Tensor]]
    losses: Tensor
    block: Tensor
    settings: Tensor
    next_piece: Synchronized[int]
    next_matrix: Synchronized[int]
    barrier: Barrier


RATE, NICE, STOP = 0, 1, 2


def taken(counter: Synchronized[int], limit: int) -> Iterator[int]:
    """Numbers below the limit that no other process has taken."""
    while True:
        with counter.get_lock():
            number = counter.value
            counter.value += 1
        if number >= limit:
            return
        yield number


class Member:
    """One process of the crew; number 0 is the caller's own."""

    def __init__(self, number: int, shape: Shape, length: int, piece: int, shared: Shared) -> None:
        torch.set_num_threads(1)
        self.number, self.piece, self.shared = number, piece, shared
        self.model = Base(shape, length)
        for parameter, weight in zip(self.model.parameters(), shared.weights):
            parameter.data = weight
        self.compiled = torch.compile(self.model)
        self.is_matrix = [p.dim() == 2 and "embed" not in name for name, p in self.model.named_parameters()]

    def accumulate(self) -> None:
        """Gradients of the pieces this process gets hold of, written to its slot."""
        for parameter in self.model.parameters():
            parameter.grad = None
        pieces = len(self.shared.block) // self.piece
        total = 0.0
        for number in taken(self.shared.next_piece, pieces):
            rows = self.shared.block[number * self.piece : (number + 1) * self.piece]
            loss = self.compiled(rows[:, 0, :-1], rows[:, 0, 1:], rows[:, 1, 1:] / 100) / pieces
            loss.backward()
            total += loss.item()
        self.shared.losses[self.number] = total
        for slot, parameter in zip(self.shared.gradients[self.number], self.model.parameters()):
            slot.zero_() if parameter.grad is None else slot.copy_(parameter.grad)

    def gradient(self, index: int) -> Tensor:
        """The whole batch's gradient of one parameter."""
        return torch.stack([slots[index] for slots in self.shared.gradients]).sum(0)

    @torch.no_grad()
    def update_matrices(self) -> None:
        """Muon on the matrices this process gets hold of."""
        rate = self.shared.settings[RATE].item()
        matrices = [i for i, matrix in enumerate(self.is_matrix) if matrix]
        for number in taken(self.shared.next_matrix, len(matrices)):
            index = matrices[number]
            muon_update(self.shared.weights[index], self.gradient(index), self.shared.momentum[index], rate)


def _serve(number: int, shape: Shape, length: int, piece: int, shared: Shared) -> None:
    member = Member(number, shape, length, piece, shared)
    while True:
        shared.barrier.wait()
        if shared.settings[STOP].item():
            return
        os.setpriority(os.PRIO_PROCESS, 0, int(shared.settings[NICE].item()))
        member.accumulate()
        shared.barrier.wait()
        member.update_matrices()
        shared.barrier.wait()


class Crew:
    """Runs training steps over `workers` processes, this one included."""

    def __init__(self, shape: Shape, length: int, batch: int, piece: int, workers: int) -> None:
        model = Base(shape, length)
        weights = [p.detach().clone().share_memory_() for p in model.parameters()]
        context = mp.get_context("spawn")
        self.shared = Shared(
            weights=weights,
            momentum=[torch.zeros_like(w).share_memory_() for w in weights],
            gradients=[[torch.zeros_like(w).share_memory_() for w in weights] for _ in range(workers)],
            losses=torch.zeros(workers).share_memory_(),
            block=torch.zeros(batch, 2, length + 1, dtype=torch.long).share_memory_(),
            settings=torch.zeros(3).share_memory_(),
            next_piece=context.Value("i", 0),
            next_matrix=context.Value("i", 0),
            barrier=context.Barrier(workers),
        )
        self.processes = [
            context.Process(target=_serve, args=(number, shape, length, piece, self.shared), daemon=True)
            for number in range(1, workers)
        ]
        for process in self.processes:
            process.start()
        self.me = Member(0, shape, length, piece, self.shared)
        self.others = [i for i, matrix in enumerate(self.me.is_matrix) if not matrix]

    def parameters(self) -> list[torch.nn.Parameter]:
        """The parameters that are not Muon's: embedding and norms."""
        everything = list(self.me.model.parameters())
        return [everything[i] for i in self.others]

    def step(self, block: Tensor, muon_rate: float, optimizer: torch.optim.Optimizer, nice: int) -> float:
        """One update from a [batch, 2, length + 1] block; `nice` is the priority of the other processes. Returns the loss."""
        shared = self.shared
        shared.block.copy_(block)
        shared.settings[RATE], shared.settings[NICE] = muon_rate, nice
        shared.next_piece.value = shared.next_matrix.value = 0
        shared.barrier.wait()
        self.me.accumulate()
        shared.barrier.wait()
        rest = self.parameters()
        for index, parameter in zip(self.others, rest):
            parameter.grad = self.me.gradient(index)
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        optimizer.step()
        self.me.update_matrices()
        shared.barrier.wait()
        return shared.losses.sum().item()

    def dismiss(self) -> None:
        """Ends the other processes."""
        self.shared.settings[STOP] = 1
        self.shared.barrier.wait()
        for process in self.processes:
            process.join()
