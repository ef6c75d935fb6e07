"""The inner loop of ufuncs: lanes, or arrays, through a kernel in blocks. Floor 9.

NumPy calls ``void loop(char **args, intp *dims, intp *steps, void *data)``, without its
lock; that one is in `batchthreads`, and this is ``@part``, the loop of one thread. One
function serves every kernel and is compiled once in a process; ``data`` is a row of
words (`WORDS`), then for each operand its number of core dimensions, its entries and
its core shape. A kernel takes up to ``block`` lanes at once, an operand's one after the
other.

Operands that stand as the kernel takes them are handed over as they are; others go
through buffers. The last block has fewer lanes: the word after the pointers to inputs
says how many. Lanes that read what others write go one by one, and any other output
that may overlap an input is written when its block is done. Where a kernel has no
answer, as LAPACK for a singular matrix, its outputs are NaN, as those of `numpy.linalg`
are. The flags of floating point that it has raised are taken back.
"""

from __future__ import annotations

import math

from tapegrad.native import batchthreads
from tapegrad.native.batchmoves import CHAINED, MOVE
from tapegrad.native.engine import FREE, MALLOC
from tapegrad.native.reading import literal

# inputs, outputs: how many; block: lanes a call of the kernel; arena: its bytes;
# kernel: its address; reach: bytes of the widest operand in one block.
# threads: how many at most; least: lanes that one thread is to have.
WORDS = (
    "inputs",
    "outputs",
    "block",
    "arena",
    "kernel",
    "reach",
    "threads",
    "least",
)
# Of all flags of floating point: the argument of feclearexcept.
ALL_FLAGS = 0x3D

CALLS = (MALLOC, FREE, *batchthreads.CALLS)

PART = """\
define internal i64 @part(ptr %args, i64 %n, ptr %steps, ptr %data)
    noinline {{
entry:
  %inputs = load i64, ptr %data
  %outputs_at = getelementptr i64, ptr %data, i64 1
  %outputs = load i64, ptr %outputs_at
  %block_at = getelementptr i64, ptr %data, i64 2
  %block = load i64, ptr %block_at
  %arena_at = getelementptr i64, ptr %data, i64 3
  %arena_bytes = load i64, ptr %arena_at
  %kernel_at = getelementptr i64, ptr %data, i64 4
  %kernel = load ptr, ptr %kernel_at
  %reach_at = getelementptr i64, ptr %data, i64 5
  %reach = load i64, ptr %reach_at
  %operands = getelementptr i64, ptr %data, i64 {words}
  %total = add i64 %inputs, %outputs
  %chained = call i1 @chained(ptr %args, ptr %steps, i64 %n, i64 %inputs, i64 %total)
  %stride = select i1 %chained, i64 1, i64 %block
  %core_steps = getelementptr i64, ptr %steps, i64 %total
  %slots = add i64 %total, 1
  %tables = mul i64 %slots, 8
  %wide = add i64 %reach, 64
  %buffers = mul i64 %total, %wide
  %sum = add i64 %tables, %buffers
  %sums = add i64 %sum, %arena_bytes
  %bytes = add i64 %sums, 128
  %memory = call ptr @malloc(i64 %bytes)
  %none = icmp eq ptr %memory, null
  br i1 %none, label %poor, label %rich
poor:
  ret i64 1
rich:
  %address = ptrtoint ptr %memory to i64
  %up = add i64 %address, 63
  %aligned = and i64 %up, -64
  %arena = inttoptr i64 %aligned to ptr
  %arena_up = add i64 %arena_bytes, 63
  %arena_all = and i64 %arena_up, -64
  %room = getelementptr i8, ptr %arena, i64 %arena_all
  %table = getelementptr i8, ptr %room, i64 %buffers
  %to_lanes = getelementptr ptr, ptr %table, i64 %inputs
  %to_outputs = getelementptr ptr, ptr %to_lanes, i64 1
  br label %head
head:
  %start = phi i64 [ 0, %rich ], [ %start_next, %written ]
  %left = sub i64 %n, %start
  %more = icmp sgt i64 %left, 0
  br i1 %more, label %begin, label %exit
begin:
  %few = icmp slt i64 %left, %stride
  %m = select i1 %few, i64 %left, i64 %stride
  br label %operand_head
operand_head:
  %k = phi i64 [ 0, %begin ], [ %k_next, %operand_end ]
  %words = phi ptr [ %operands, %begin ], [ %words_next, %operand_end ]
  %core = phi ptr [ %core_steps, %begin ], [ %core_next, %operand_end ]
  %there_are = icmp slt i64 %k, %total
  br i1 %there_are, label %operand, label %run
operand:
  %nd = load i64, ptr %words
  %size_at = getelementptr i64, ptr %words, i64 1
  %size = load i64, ptr %size_at
  %shape = getelementptr i64, ptr %words, i64 2
  %words_next = getelementptr i64, ptr %shape, i64 %nd
  %core_next = getelementptr i64, ptr %core, i64 %nd
  %arg_at = getelementptr ptr, ptr %args, i64 %k
  %arg = load ptr, ptr %arg_at
  %step_at = getelementptr i64, ptr %steps, i64 %k
  %step = load i64, ptr %step_at
  %moved = mul i64 %start, %step
  %p = getelementptr i8, ptr %arg, i64 %moved
  %size_bytes = mul i64 %size, 8
  %dense = icmp eq i64 %step, %size_bytes
  %alone = icmp eq i64 %block, 1
  %lanes_good = or i1 %dense, %alone
  %core_good = call i1 @contiguous(i64 %nd, ptr %shape, ptr %core)
  %good = and i1 %lanes_good, %core_good
  %buffer_off = mul i64 %k, %wide
  %buffer_raw = getelementptr i8, ptr %room, i64 %buffer_off
  %is_input = icmp slt i64 %k, %inputs
  %further = select i1 %is_input, i64 0, i64 1
  %slot_place = add i64 %k, %further
  %slot = getelementptr ptr, ptr %table, i64 %slot_place
  br i1 %is_input, label %input, label %output
input:
  br i1 %good, label %straight, label %buffered
buffered:
  call void @move(ptr %buffer_raw, ptr %p, i64 %m, i64 %step, i64 %nd, ptr %shape,
                  ptr %core, i64 %size, i1 false)
  store ptr %buffer_raw, ptr %slot
  br label %operand_end
output:
  %apart = call i1 @apart(ptr %p, ptr %args, ptr %steps, i64 %start, i64 %inputs,
                          i64 %reach)
  %direct = and i1 %good, %apart
  br i1 %direct, label %straight, label %later
straight:
  store ptr %p, ptr %slot
  br label %operand_end
later:
  store ptr %buffer_raw, ptr %slot
  br label %operand_end
operand_end:
  %k_next = add i64 %k, 1
  br label %operand_head
run:
  store i64 %m, ptr %to_lanes
  %status = call i32 %kernel(ptr %table, ptr %to_outputs, ptr %arena)
  %failed = icmp ne i32 %status, 0
  br label %out_head
out_head:
  %o = phi i64 [ 0, %run ], [ %o_next, %out_end ]
  %owords = phi ptr [ %operands, %run ], [ %owords_next, %out_end ]
  %ocore = phi ptr [ %core_steps, %run ], [ %ocore_next, %out_end ]
  %some = icmp slt i64 %o, %total
  br i1 %some, label %out, label %written
out:
  %ond = load i64, ptr %owords
  %osize_at = getelementptr i64, ptr %owords, i64 1
  %osize = load i64, ptr %osize_at
  %oshape = getelementptr i64, ptr %owords, i64 2
  %owords_next = getelementptr i64, ptr %oshape, i64 %ond
  %ocore_next = getelementptr i64, ptr %ocore, i64 %ond
  %given = icmp slt i64 %o, %inputs
  br i1 %given, label %out_end, label %result
result:
  %oslot_place = add i64 %o, 1
  %oslot = getelementptr ptr, ptr %table, i64 %oslot_place
  %made = load ptr, ptr %oslot
  %entries = mul i64 %osize, %m
  br i1 %failed, label %spoil, label %place
spoil:
  %s = phi i64 [ 0, %result ], [ %s_next, %spoil_one ]
  %s_more = icmp slt i64 %s, %entries
  br i1 %s_more, label %spoil_one, label %place
spoil_one:
  %s_at = getelementptr double, ptr %made, i64 %s
  store double {nan}, ptr %s_at
  %s_next = add i64 %s, 1
  br label %spoil
place:
  %oarg_at = getelementptr ptr, ptr %args, i64 %o
  %oarg = load ptr, ptr %oarg_at
  %ostep_at = getelementptr i64, ptr %steps, i64 %o
  %ostep = load i64, ptr %ostep_at
  %omoved = mul i64 %start, %ostep
  %op = getelementptr i8, ptr %oarg, i64 %omoved
  %done = icmp eq ptr %op, %made
  br i1 %done, label %out_end, label %copy_out
copy_out:
  call void @move(ptr %made, ptr %op, i64 %m, i64 %ostep, i64 %ond, ptr %oshape,
                  ptr %ocore, i64 %osize, i1 true)
  br label %out_end
out_end:
  %o_next = add i64 %o, 1
  br label %out_head
written:
  %start_next = add i64 %start, %stride
  br label %head
exit:
  call void @free(ptr %memory)
  ret i64 0
}}
"""


def source() -> str:
    """LLVM text; its function is ``@loop``."""
    return (
        MOVE
        + CHAINED
        + PART.format(words=len(WORDS), nan=literal(math.nan))
        + batchthreads.THREADS.format(
            threads=WORDS.index("threads"),
            least=WORDS.index("least"),
            pieces=batchthreads.PIECES,
            flags=ALL_FLAGS,
        )
    )
