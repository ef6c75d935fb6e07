"""The entry thunk of kernels on arrays: ndarrays in, new ndarrays out. Floor 9.

Like ``thunk``: one C function for all kernels, compiled once, the layout behind the
builtin's ``self``, a tuple ``(fallback, layout, ...)``. The kernel is

    i32 @kernel(ptr* inputs, ptr* outputs, ptr arena)

with a pointer to the entries of each input and output, scalars included. An input that
is an exact ndarray of the right dtype and shape, C-contiguous and aligned, is handed
over where it stands; everything else goes to the fallback. Outputs are new arrays; the
kernel writes into them. The arena, where it keeps its intermediate arrays, is kept from
call to call: whoever takes it leaves null in the cell, so that a second thread makes
its own. Long kernels run without the interpreter's lock. With ``out=`` as the only
keyword, an array that is the very one to be made is filled in place of a new one.

The layout is a column of 64-bit words: `WORDS`, then `RECORD` words for each input and
each output.
"""

from __future__ import annotations

import numpy as np

from tapegrad.native import arrayobjects, arrayouts, thunk
from tapegrad.native.engine import MEMORY
from tapegrad.native.thunk import outside

# Words of the layout before the records, by name.
WORDS = {
    "inputs": 0,
    "outputs": 1,
    "kind": 2,
    "kernel": 3,
    "arena": 4,
    "cell": 5,
    "unlock": 6,
    "array_type": 7,
    "array_new": 8,
    "array_scalar": 9,
    "bare": 10,
    "float64": 11,
    "none": 12,
    "tuple_type": 13,
    "out_name": 14,
}
HEAD = 15
# A record: a code (a dtype's number, NUMBER or TRUTH), how many dimensions, the address
# of the dimensions, the address of the dtype, how many bytes.
RECORD = 5
NUMBER, TRUTH = -1, -2

# Words of pointers and scalars that stand on the stack, and what each one takes.
ROOM = 96
EACH_INPUT, EACH_OUTPUT = 2, 3

ALIGNMENT = 64

CALLS = (
    *thunk.CALLS,
    *MEMORY,
    outside("Py_IncRef", "void", "ptr"),
    outside("PyBool_FromLong", "ptr", "i64"),
    outside("PyEval_SaveThread", "ptr"),
    outside("PyEval_RestoreThread", "void", "ptr"),
)

SOURCE = """\
define internal i32 @run(ptr %layout, ptr %ins, ptr %outs, ptr %copies,
                         i64 %inputs) alwaysinline {{
entry:
  %kernel = call ptr @pointer(ptr %layout, i64 {kernel})
  %bytes = call i64 @word(ptr %layout, i64 {arena})
  %cell = call ptr @pointer(ptr %layout, i64 {cell})
  %needed = icmp ne i64 %bytes, 0
  br i1 %needed, label %take, label %ready
take:
  %kept = atomicrmw xchg ptr %cell, ptr null acq_rel
  %busy = icmp eq ptr %kept, null
  br i1 %busy, label %make, label %ready
make:
  %room = add i64 %bytes, {alignment}
  %made = call ptr @malloc(i64 %room)
  %poor = icmp eq ptr %made, null
  br i1 %poor, label %fail, label %ready
fail:
  ret i32 -1
ready:
  %block = phi ptr [ null, %entry ], [ %kept, %take ], [ %made, %make ]
  %above = getelementptr i8, ptr %block, i64 {above}
  %address = ptrtoint ptr %above to i64
  %aligned = and i64 %address, -{alignment}
  %arena = inttoptr i64 %aligned to ptr
  %long = call i64 @word(ptr %layout, i64 {unlock})
  %brief = icmp eq i64 %long, 0
  br i1 %brief, label %locked, label %unlocked
locked:
  %quick = call i32 %kernel(ptr %ins, ptr %outs, ptr %arena)
  br label %finish
unlocked:
  %kept_apart = call i1 @private(ptr %layout, ptr %ins, ptr %copies, i64 %inputs)
  br i1 %kept_apart, label %go, label %over
go:
  %thread = call ptr @PyEval_SaveThread()
  %slow = call i32 %kernel(ptr %ins, ptr %outs, ptr %arena)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %over
over:
  %late = phi i32 [ %slow, %go ], [ -1, %unlocked ]
  call void @forget(ptr %layout, ptr %copies, i64 %inputs)
  br label %finish
finish:
  %status = phi i32 [ %quick, %locked ], [ %late, %over ]
  br i1 %needed, label %give_back, label %return
give_back:
  %other = atomicrmw xchg ptr %cell, ptr %block acq_rel
  %alone = icmp eq ptr %other, null
  br i1 %alone, label %return, label %spare
spare:
  call void @free(ptr %other)
  br label %return
return:
  ret i32 %status
}}

define ptr @thunk(ptr %self, ptr %args, i64 %count, ptr %names) {{
entry:
  %local = alloca [{room} x i64]
  %ends = alloca [2 x ptr]
  %layout = call ptr @layout(ptr %self)
  %float = load ptr, ptr @PyFloat_Type.at
  %inputs = call i64 @word(ptr %layout, i64 {inputs})
  %outputs = call i64 @word(ptr %layout, i64 {outputs})
  %ndarray = call ptr @pointer(ptr %layout, i64 {array_type})
  %float64 = call ptr @pointer(ptr %layout, i64 {float64})
  %miscounted = icmp ne i64 %count, %inputs
  br i1 %miscounted, label %escape, label %keywords
keywords:
  %named = icmp ne ptr %names, null
  br i1 %named, label %name, label %room
name:
  %is_out = call i1 @is_out(ptr %layout, ptr %names)
  br i1 %is_out, label %out, label %escape
out:
  %out_object = call ptr @pointer(ptr %args, i64 %count)
  %nests = call i1 @split(ptr %layout, ptr %out_object, i64 %outputs, ptr %ends)
  br i1 %nests, label %room, label %escape
room:
  %in_words = mul i64 %inputs, {each_input}
  %out_words = mul i64 %outputs, {each_output}
  %total = add i64 %in_words, %out_words
  %fits = icmp sle i64 %total, {room}
  br i1 %fits, label %ready, label %heap
heap:
  %bytes = shl i64 %total, 3
  %block = call ptr @malloc(i64 %bytes)
  %lacking = icmp eq ptr %block, null
  br i1 %lacking, label %escape, label %ready
ready:
  %owned = phi ptr [ null, %room ], [ %block, %heap ]
  %ins = phi ptr [ %local, %room ], [ %block, %heap ]
  %in_values = getelementptr i64, ptr %ins, i64 %inputs
  %outs = getelementptr i64, ptr %in_values, i64 %inputs
  %out_values = getelementptr i64, ptr %outs, i64 %outputs
  %objects = getelementptr i64, ptr %out_values, i64 %outputs
  %records = getelementptr i64, ptr %layout, i64 {head}
  br label %head
head:
  %i = phi i64 [ 0, %ready ], [ %next, %taken ]
  %record = phi ptr [ %records, %ready ], [ %next_record, %taken ]
  %more = icmp slt i64 %i, %inputs
  br i1 %more, label %argument, label %allocate
argument:
  %arg = call ptr @pointer(ptr %args, i64 %i)
  %in_at = getelementptr ptr, ptr %ins, i64 %i
  %code = call i64 @word(ptr %record, i64 0)
  %plain = icmp eq i64 %code, {a_number}
  br i1 %plain, label %number, label %array
number:
  %into = getelementptr double, ptr %in_values, i64 %i
  store ptr %into, ptr %in_at
  %numeric = call i1 @take(ptr %arg, ptr %float, ptr %float64, ptr %into)
  br i1 %numeric, label %taken, label %leave
array:
  %data = call ptr @entries(ptr %arg, ptr %record, ptr %ndarray)
  store ptr %data, ptr %in_at
  %refused = icmp eq ptr %data, null
  br i1 %refused, label %leave, label %taken
taken:
  %next = add i64 %i, 1
  %next_record = getelementptr i64, ptr %record, i64 {record}
  br label %head
allocate:
  %k = phi i64 [ 0, %head ], [ %next_k, %made ]
  %out_record = phi ptr [ %record, %head ], [ %next_out_record, %made ]
  %more_out = icmp slt i64 %k, %outputs
  br i1 %more_out, label %output, label %compute
output:
  %out_at = getelementptr ptr, ptr %outs, i64 %k
  %object_at = getelementptr ptr, ptr %objects, i64 %k
  %out_nd = call i64 @word(ptr %out_record, i64 1)
  %flat = icmp eq i64 %out_nd, 0
  br i1 %named, label %ask, label %own
ask:
  %theirs = call ptr @given(ptr %layout, ptr %ends, i64 %k)
  %nothing = icmp eq ptr %theirs, null
  br i1 %nothing, label %own, label %use
use:
  br i1 %flat, label %poor, label %fit
fit:
  %there = call ptr @place(ptr %theirs, ptr %records, ptr %ndarray, ptr %ins,
                           ptr %outs, i64 %inputs, i64 %k)
  %unusable = icmp eq ptr %there, null
  br i1 %unusable, label %poor, label %borrow
borrow:
  call void @Py_IncRef(ptr %theirs)
  store ptr %theirs, ptr %object_at
  store ptr %there, ptr %out_at
  br label %made
own:
  br i1 %flat, label %scalar, label %new
scalar:
  %out_value = getelementptr i64, ptr %out_values, i64 %k
  store ptr %out_value, ptr %out_at
  store ptr null, ptr %object_at
  br label %made
new:
  %array_new = call ptr @pointer(ptr %layout, i64 {array_new})
  %out_code = call i64 @word(ptr %out_record, i64 0)
  %out_number = trunc i64 %out_code to i32
  %out_nd_int = trunc i64 %out_nd to i32
  %out_dims = call ptr @pointer(ptr %out_record, i64 2)
  %fresh = call ptr %array_new(ptr %ndarray, i32 %out_nd_int, ptr %out_dims,
      i32 %out_number, ptr null, ptr null, i32 0, i32 0, ptr null)
  store ptr %fresh, ptr %object_at
  %no_room = icmp eq ptr %fresh, null
  br i1 %no_room, label %poor, label %filled
filled:
  %fresh_data_at = getelementptr i8, ptr %fresh, i64 {data}
  %fresh_data = load ptr, ptr %fresh_data_at
  store ptr %fresh_data, ptr %out_at
  br label %made
made:
  %next_k = add i64 %k, 1
  %next_out_record = getelementptr i64, ptr %out_record, i64 {record}
  br label %allocate
poor:
  call void @PyErr_Clear()
  call void @drop(ptr %objects, i64 %k)
  br label %leave
compute:
  %status = call i32 @run(ptr %layout, ptr %ins, ptr %outs, ptr %in_values,
                         i64 %inputs)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %collect, label %undo
undo:
  call void @drop(ptr %objects, i64 %outputs)
  br label %leave
collect:
  %first_out = mul i64 %inputs, {record}
  %first_record = getelementptr i64, ptr %records, i64 %first_out
  %array_scalar = call ptr @pointer(ptr %layout, i64 {array_scalar})
  br label %each
each:
  %j = phi i64 [ 0, %collect ], [ %next_j, %have ]
  %j_record = phi ptr [ %first_record, %collect ], [ %next_j_record, %have ]
  %more_j = icmp slt i64 %j, %outputs
  br i1 %more_j, label %object, label %give
object:
  %j_at = getelementptr ptr, ptr %objects, i64 %j
  %standing = load ptr, ptr %j_at
  %lacks = icmp eq ptr %standing, null
  br i1 %lacks, label %wrap, label %have
wrap:
  %value_at = getelementptr i64, ptr %out_values, i64 %j
  %wrapped = call ptr @scalar(ptr %value_at, ptr %j_record, ptr %array_scalar)
  store ptr %wrapped, ptr %j_at
  %unmade = icmp eq ptr %wrapped, null
  br i1 %unmade, label %broken, label %have
have:
  %next_j = add i64 %j, 1
  %next_j_record = getelementptr i64, ptr %j_record, i64 {record}
  br label %each
broken:
  call void @drop(ptr %objects, i64 %outputs)
  br label %finish
give:
  %whole = call ptr @result(ptr %layout, ptr %objects, i64 %outputs)
  br label %finish
finish:
  %answer = phi ptr [ null, %broken ], [ %whole, %give ]
  %borrowed = icmp eq ptr %owned, null
  br i1 %borrowed, label %return, label %release
release:
  call void @free(ptr %owned)
  br label %return
return:
  ret ptr %answer
leave:
  %unowned = icmp eq ptr %owned, null
  br i1 %unowned, label %escape, label %give_up
give_up:
  call void @free(ptr %owned)
  br label %escape
escape:
  %other = call ptr @escape(ptr %self, ptr %args, i64 %count, ptr %names)
  ret ptr %other
}}
"""


def source() -> str:
    """LLVM text of the thunk, its function is ``@thunk``."""
    return (thunk.TAKE + arrayobjects.SOURCE + arrayouts.SOURCE + SOURCE).format(
        **thunk.OFFSETS,
        room=ROOM,
        value=thunk.VALUE,
        pair=thunk.PAIR,
        gradient=thunk.GRADIENT,
        head=HEAD,
        record=RECORD,
        a_number=NUMBER,
        a_truth=TRUTH,
        each_input=EACH_INPUT,
        each_output=EACH_OUTPUT,
        alignment=ALIGNMENT,
        above=ALIGNMENT - 1,
        contiguous_aligned=arrayobjects.CONTIGUOUS_ALIGNED,
        writeable=arrayobjects.WRITEABLE,
        integer=np.dtype(np.int64).num,
        native=ord("="),
        irrelevant=ord("|"),
        **arrayobjects.FIELDS,
        **WORDS,
    )
