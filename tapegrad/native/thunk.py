"""The entry thunk: from Python objects to a kernel and back, in native code. Floor 9.

One function serves every kernel, and is compiled once in a process. It is the C side of
a Python builtin (METH_FASTCALL); what it needs to know stands behind the builtin's
``self``, a tuple ``(fallback, layout, ...)``:

    layout = inputs, outputs, kind: int64;  kernel: i32 (double* x, double* y);
             the type of NumPy's float64

Floats, NumPy's float64 and ints are taken as they are. Everything else, a wrong count,
a keyword, and a kernel that does not return 0 go to the fallback, with the arguments as
they came: it raises the library's errors, or knows better.
"""

from __future__ import annotations

from tapegrad.native.engine import FREE, MALLOC, Outside

# Numbers up to which inputs and outputs together stand on the stack.
ROOM = 64

# What is made of the outputs; see `entry`.
FLAT, VALUE, PAIR, GRADIENT = range(4)


# Where the fields of objects stand: the type ends the header; a float's number, a
# tuple's items and the text of bytes come last.
OFFSETS = {
    "type_offset": object.__basicsize__ - 8,
    "float_offset": float.__basicsize__ - 8,
    "size_offset": object.__basicsize__,
    "tuple_offset": tuple.__basicsize__,
    "bytes_offset": bytes.__basicsize__ - 1,
}


def outside(name: str, gives: str, *takes: str) -> Outside:
    """A function of Python's or NumPy's C interface, which may do anything."""
    return Outside(name, gives, takes, pure=False)


CALLS = (
    MALLOC,
    FREE,
    outside("PyFloat_AsDouble", "double", "ptr"),
    outside("PyFloat_FromDouble", "ptr", "double"),
    outside("PyErr_Occurred", "ptr"),
    outside("PyErr_Clear", "void"),
    outside("PyTuple_New", "ptr", "i64"),
    outside("PyObject_Vectorcall", "ptr", "ptr", "ptr", "i64", "ptr"),
    outside("Py_DecRef", "void", "ptr"),
    outside("PyFloat_Type", ""),
    outside("PyLong_Type", ""),
)

# A number of Python as a double, or false. Floats are read where they stand, and those
# of NumPy stand there, too; ints are kept out of the way. A class made of float may
# have a __float__ of its own: it is not taken.
TAKE = """\
define internal i1 @take(ptr %object, ptr %float, ptr %float64, ptr %into)
    alwaysinline {{
entry:
  %type_at = getelementptr i8, ptr %object, i64 {type_offset}
  %type = load ptr, ptr %type_at
  %exact = icmp eq ptr %type, %float
  br i1 %exact, label %quick, label %near
near:
  %numpy = icmp eq ptr %type, %float64
  br i1 %numpy, label %quick, label %other
quick:
  %number_at = getelementptr i8, ptr %object, i64 {float_offset}
  %number = load double, ptr %number_at
  store double %number, ptr %into
  ret i1 true
other:
  %good = call i1 @convert(ptr %object, ptr %type, ptr %into)
  ret i1 %good
}}

define internal i1 @convert(ptr %object, ptr %type, ptr %into)
    noinline cold optnone {{
entry:
  %int = load ptr, ptr @PyLong_Type.at
  %whole = icmp eq ptr %type, %int
  br i1 %whole, label %convert, label %refuse
convert:
  %value = call double @PyFloat_AsDouble(ptr %object)
  store double %value, ptr %into
  %suspect = fcmp oeq double %value, -1.0
  br i1 %suspect, label %look, label %fine
look:
  %problem = call ptr @PyErr_Occurred()
  %none = icmp eq ptr %problem, null
  br i1 %none, label %fine, label %clear
clear:
  call void @PyErr_Clear()
  br label %refuse
fine:
  ret i1 true
refuse:
  ret i1 false
}}

define internal ptr @item(ptr %tuple, i64 %place) alwaysinline {{
  %items = getelementptr i8, ptr %tuple, i64 {tuple_offset}
  %at = getelementptr ptr, ptr %items, i64 %place
  %item = load ptr, ptr %at
  ret ptr %item
}}

define internal void @put(ptr %tuple, i64 %place, ptr %object) alwaysinline {{
  %items = getelementptr i8, ptr %tuple, i64 {tuple_offset}
  %at = getelementptr ptr, ptr %items, i64 %place
  store ptr %object, ptr %at
  ret void
}}

define internal ptr @layout(ptr %self) alwaysinline {{
  %object = call ptr @item(ptr %self, i64 1)
  %layout = getelementptr i8, ptr %object, i64 {bytes_offset}
  ret ptr %layout
}}

define internal ptr @escape(ptr %self, ptr %args, i64 %count, ptr %names)
    noinline cold {{
  %fallback = call ptr @item(ptr %self, i64 0)
  %answer = call ptr @PyObject_Vectorcall(ptr %fallback, ptr %args, i64 %count,
                                          ptr %names)
  ret ptr %answer
}}
"""

SOURCE = """\
define internal ptr @numbers(ptr %from, i64 %count, i1 %bare) alwaysinline {{
entry:
  br i1 %bare, label %one, label %several
one:
  %only = load double, ptr %from
  %single = call ptr @PyFloat_FromDouble(double %only)
  ret ptr %single
several:
  %tuple = call ptr @PyTuple_New(i64 %count)
  %lacking = icmp eq ptr %tuple, null
  br i1 %lacking, label %fail, label %head
head:
  %i = phi i64 [ 0, %several ], [ %next, %put ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %make, label %done
make:
  %at = getelementptr double, ptr %from, i64 %i
  %value = load double, ptr %at
  %object = call ptr @PyFloat_FromDouble(double %value)
  %missing = icmp eq ptr %object, null
  br i1 %missing, label %drop, label %put
put:
  call void @put(ptr %tuple, i64 %i, ptr %object)
  %next = add i64 %i, 1
  br label %head
drop:
  call void @Py_DecRef(ptr %tuple)
  br label %fail
fail:
  ret ptr null
done:
  ret ptr %tuple
}}

define internal ptr @pair(ptr %from, i64 %gradients, i1 %bare) alwaysinline {{
entry:
  %value = call ptr @numbers(ptr %from, i64 1, i1 true)
  %no_value = icmp eq ptr %value, null
  br i1 %no_value, label %fail, label %second
second:
  %rest = getelementptr double, ptr %from, i64 1
  %gradient = call ptr @numbers(ptr %rest, i64 %gradients, i1 %bare)
  %no_gradient = icmp eq ptr %gradient, null
  br i1 %no_gradient, label %drop_value, label %both
both:
  %tuple = call ptr @PyTuple_New(i64 2)
  %no_tuple = icmp eq ptr %tuple, null
  br i1 %no_tuple, label %drop_both, label %fill
fill:
  call void @put(ptr %tuple, i64 0, ptr %value)
  call void @put(ptr %tuple, i64 1, ptr %gradient)
  ret ptr %tuple
drop_both:
  call void @Py_DecRef(ptr %gradient)
  br label %drop_value
drop_value:
  call void @Py_DecRef(ptr %value)
  br label %fail
fail:
  ret ptr null
}}

define ptr @thunk(ptr %self, ptr %args, i64 %count, ptr %names) {{
entry:
  %local = alloca [{room} x double]
  %layout = call ptr @layout(ptr %self)
  %float = load ptr, ptr @PyFloat_Type.at
  %outputs_at = getelementptr i64, ptr %layout, i64 1
  %kind_at = getelementptr i64, ptr %layout, i64 2
  %kernel_at = getelementptr i64, ptr %layout, i64 3
  %float64_at = getelementptr i64, ptr %layout, i64 4
  %float64 = load ptr, ptr %float64_at
  %inputs = load i64, ptr %layout
  %outputs = load i64, ptr %outputs_at
  %kind = load i64, ptr %kind_at
  %kernel = load ptr, ptr %kernel_at
  %named = icmp ne ptr %names, null
  %miscounted = icmp ne i64 %count, %inputs
  %unfit = or i1 %named, %miscounted
  br i1 %unfit, label %escape, label %room
room:
  %total = add i64 %inputs, %outputs
  %fits = icmp sle i64 %total, {room}
  br i1 %fits, label %ready, label %heap
heap:
  %bytes = shl i64 %total, 3
  %block = call ptr @malloc(i64 %bytes)
  %lacking = icmp eq ptr %block, null
  br i1 %lacking, label %escape, label %ready
ready:
  %owned = phi ptr [ null, %room ], [ %block, %heap ]
  %x = phi ptr [ %local, %room ], [ %block, %heap ]
  %y = getelementptr double, ptr %x, i64 %inputs
  br label %head
head:
  %i = phi i64 [ 0, %ready ], [ %next, %argument ]
  %more = icmp slt i64 %i, %inputs
  br i1 %more, label %argument, label %run
argument:
  %arg_at = getelementptr ptr, ptr %args, i64 %i
  %arg = load ptr, ptr %arg_at
  %into = getelementptr double, ptr %x, i64 %i
  %taken = call i1 @take(ptr %arg, ptr %float, ptr %float64, ptr %into)
  %next = add i64 %i, 1
  br i1 %taken, label %head, label %leave
run:
  %status = call i32 %kernel(ptr %x, ptr %y)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %give, label %leave
give:
  %gradients = sub i64 %outputs, 1
  %bare = icmp eq i64 %inputs, 1
  switch i64 %kind, label %flat [ i64 {value}, label %one
                                  i64 {pair}, label %two
                                  i64 {gradient}, label %slopes ]
flat:
  %all = call ptr @numbers(ptr %y, i64 %outputs, i1 false)
  br label %finish
one:
  %number = call ptr @numbers(ptr %y, i64 1, i1 true)
  br label %finish
two:
  %both = call ptr @pair(ptr %y, i64 %gradients, i1 %bare)
  br label %finish
slopes:
  %rest = getelementptr double, ptr %y, i64 1
  %slope = call ptr @numbers(ptr %rest, i64 %gradients, i1 %bare)
  br label %finish
finish:
  %result = phi ptr [ %all, %flat ], [ %number, %one ], [ %both, %two ],
                    [ %slope, %slopes ]
  %borrowed = icmp eq ptr %owned, null
  br i1 %borrowed, label %return, label %release
release:
  call void @free(ptr %owned)
  br label %return
return:
  ret ptr %result
leave:
  %kept = icmp eq ptr %owned, null
  br i1 %kept, label %escape, label %give_back
give_back:
  call void @free(ptr %owned)
  br label %escape
escape:
  %answer = call ptr @escape(ptr %self, ptr %args, i64 %count, ptr %names)
  ret ptr %answer
}}
"""


def source() -> str:
    """LLVM text of the thunk, its function is ``@thunk``."""
    return (TAKE + SOURCE).format(
        **OFFSETS,
        room=ROOM,
        value=VALUE,
        pair=PAIR,
        gradient=GRADIENT,
    )
