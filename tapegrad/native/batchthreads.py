"""Threads of the loop of ufuncs, in LLVM's language. Floor 9.

``@loop`` is what NumPy calls, without Python's lock. It hands pieces of the lanes to
``@part``: a long call starts threads, through Python's C interface, so this is the same
on each platform, and each takes the next piece until none is left. A piece is computed
as it would be alone, whoever takes it: results do not depend on threads. Lanes that
read what others write stay in one thread, and so does what is too short to gain.

A job, shared by the threads, is a row of words:

    next lane (atomic), lanes, lanes of a piece, args, steps, data, failed (atomic)
"""

from __future__ import annotations

from tapegrad.native.thunk import outside

# Threads are worth their start (some 20 us) from so many numbers each, in all slots
# together; and each is to get some pieces, as others may have use for its core, too.
ENOUGH, PIECES = 200_000, 4

CALLS = (
    outside("PyThread_start_new_thread", "i64", "ptr", "ptr"),
    outside("PyThread_allocate_lock", "ptr"),
    outside("PyThread_acquire_lock", "i32", "ptr", "i32"),
    outside("PyThread_release_lock", "void", "ptr"),
    outside("PyThread_free_lock", "void", "ptr"),
    outside("feclearexcept", "i32", "i32"),
    outside("PyGILState_Ensure", "i32"),
    outside("PyGILState_Release", "void", "i32"),
    outside("PyErr_NoMemory", "ptr"),
)

# A thread that could not be started is an unsigned long of ones, which is of 32 bits on
# some platforms; then, or without memory for a lock, there are fewer threads.
THREADS = """\
define internal void @work(ptr %job) noinline {{
entry:
  %lanes_at = getelementptr i64, ptr %job, i64 1
  %piece_at = getelementptr i64, ptr %job, i64 2
  %args_at = getelementptr i64, ptr %job, i64 3
  %steps_at = getelementptr i64, ptr %job, i64 4
  %data_at = getelementptr i64, ptr %job, i64 5
  %failed_at = getelementptr i64, ptr %job, i64 6
  %lanes = load i64, ptr %lanes_at
  %piece = load i64, ptr %piece_at
  %args = load ptr, ptr %args_at
  %steps = load ptr, ptr %steps_at
  %data = load ptr, ptr %data_at
  %inputs = load i64, ptr %data
  %outputs_at = getelementptr i64, ptr %data, i64 1
  %outputs = load i64, ptr %outputs_at
  %total = add i64 %inputs, %outputs
  %moved = alloca ptr, i64 %total
  br label %head
head:
  %start = atomicrmw add ptr %job, i64 %piece acq_rel
  %left = sub i64 %lanes, %start
  %more = icmp sgt i64 %left, 0
  br i1 %more, label %take, label %done
take:
  %few = icmp slt i64 %left, %piece
  %count = select i1 %few, i64 %left, i64 %piece
  br label %move
move:
  %k = phi i64 [ 0, %take ], [ %k_next, %move ]
  %arg_at = getelementptr ptr, ptr %args, i64 %k
  %arg = load ptr, ptr %arg_at
  %step_at = getelementptr i64, ptr %steps, i64 %k
  %step = load i64, ptr %step_at
  %far = mul i64 %step, %start
  %here = getelementptr i8, ptr %arg, i64 %far
  %moved_at = getelementptr ptr, ptr %moved, i64 %k
  store ptr %here, ptr %moved_at
  %k_next = add i64 %k, 1
  %others = icmp slt i64 %k_next, %total
  br i1 %others, label %move, label %run
run:
  %status = call i64 @part(ptr %moved, i64 %count, ptr %steps, ptr %data)
  %both = atomicrmw or ptr %failed_at, i64 %status acq_rel
  br label %head
done:
  ret void
}}

define internal void @help(ptr %seat) {{
  %job = load ptr, ptr %seat
  %lock_at = getelementptr ptr, ptr %seat, i64 1
  %lock = load ptr, ptr %lock_at
  call void @work(ptr %job)
  call void @PyThread_release_lock(ptr %lock)
  ret void
}}

define internal i64 @shared(ptr %args, i64 %n, ptr %steps, ptr %data, i64 %threads,
                            i64 %piece) {{
entry:
  %job = alloca [7 x i64]
  %lanes_at = getelementptr i64, ptr %job, i64 1
  %piece_at = getelementptr i64, ptr %job, i64 2
  %args_at = getelementptr i64, ptr %job, i64 3
  %steps_at = getelementptr i64, ptr %job, i64 4
  %data_at = getelementptr i64, ptr %job, i64 5
  %failed_at = getelementptr i64, ptr %job, i64 6
  store i64 0, ptr %job
  store i64 %n, ptr %lanes_at
  store i64 %piece, ptr %piece_at
  store ptr %args, ptr %args_at
  store ptr %steps, ptr %steps_at
  store ptr %data, ptr %data_at
  store i64 0, ptr %failed_at
  %words = shl i64 %threads, 1
  %seats = alloca ptr, i64 %words
  br label %head
head:
  %t = phi i64 [ 1, %entry ], [ %t_next, %started ]
  %more = icmp slt i64 %t, %threads
  br i1 %more, label %sit, label %mine
sit:
  %place = shl i64 %t, 1
  %seat = getelementptr ptr, ptr %seats, i64 %place
  %lock = call ptr @PyThread_allocate_lock()
  %no_lock = icmp eq ptr %lock, null
  br i1 %no_lock, label %mine, label %start
start:
  %taken = call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  store ptr %job, ptr %seat
  %lock_at = getelementptr ptr, ptr %seat, i64 1
  store ptr %lock, ptr %lock_at
  %thread = call i64 @PyThread_start_new_thread(ptr @help, ptr %seat)
  %number = trunc i64 %thread to i32
  %none = icmp eq i32 %number, -1
  br i1 %none, label %alone, label %started
started:
  %t_next = add i64 %t, 1
  br label %head
alone:
  call void @PyThread_release_lock(ptr %lock)
  call void @PyThread_free_lock(ptr %lock)
  br label %mine
mine:
  call void @work(ptr %job)
  br label %join
join:
  %j = phi i64 [ 1, %mine ], [ %j_next, %wait ]
  %waiting = icmp slt i64 %j, %t
  br i1 %waiting, label %wait, label %joined
wait:
  %j_place = shl i64 %j, 1
  %j_seat = getelementptr ptr, ptr %seats, i64 %j_place
  %j_lock_at = getelementptr ptr, ptr %j_seat, i64 1
  %j_lock = load ptr, ptr %j_lock_at
  %finished = call i32 @PyThread_acquire_lock(ptr %j_lock, i32 1)
  call void @PyThread_release_lock(ptr %j_lock)
  call void @PyThread_free_lock(ptr %j_lock)
  %j_next = add i64 %j, 1
  br label %join
joined:
  %failed = load i64, ptr %failed_at
  ret i64 %failed
}}

define void @loop(ptr %args, ptr %dims, ptr %steps, ptr %data) {{
entry:
  %n = load i64, ptr %dims
  %inputs = load i64, ptr %data
  %outputs_at = getelementptr i64, ptr %data, i64 1
  %outputs = load i64, ptr %outputs_at
  %threads_at = getelementptr i64, ptr %data, i64 {threads}
  %allowed = load i64, ptr %threads_at
  %least_at = getelementptr i64, ptr %data, i64 {least}
  %least = load i64, ptr %least_at
  %gains = sdiv i64 %n, %least
  %fewer = icmp slt i64 %gains, %allowed
  %threads = select i1 %fewer, i64 %gains, i64 %allowed
  %several = icmp sgt i64 %threads, 1
  br i1 %several, label %look, label %one
look:
  %total = add i64 %inputs, %outputs
  %chained = call i1 @chained(ptr %args, ptr %steps, i64 %n, i64 %inputs, i64 %total)
  br i1 %chained, label %one, label %many
one:
  %alone = call i64 @part(ptr %args, i64 %n, ptr %steps, ptr %data)
  br label %end
many:
  %block_at = getelementptr i64, ptr %data, i64 2
  %block = load i64, ptr %block_at
  %pieces = mul i64 %threads, {pieces}
  %share = udiv i64 %n, %pieces
  %blocks = udiv i64 %share, %block
  %whole = add i64 %blocks, 1
  %piece = mul i64 %whole, %block
  %shared = call i64 @shared(ptr %args, i64 %n, ptr %steps, ptr %data, i64 %threads,
                             i64 %piece)
  br label %end
end:
  %status = phi i64 [ %alone, %one ], [ %shared, %many ]
  %cleared = call i32 @feclearexcept(i32 {flags})
  %poor = icmp ne i64 %status, 0
  br i1 %poor, label %complain, label %return
complain:
  %lock = call i32 @PyGILState_Ensure()
  %error = call ptr @PyErr_NoMemory()
  call void @PyGILState_Release(i32 %lock)
  br label %return
return:
  ret void
}}
"""
