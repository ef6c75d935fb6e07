"""What the array thunk does with objects, in LLVM's language. Floor 9.

``@entries`` looks whether an object is the very array that a kernel reads, and gives
the address of its entries; ``@scalar`` makes an object of a single number; ``@result``
puts the outputs together, taking over the references. The words in braces are filled in
by ``arraythunk``, which also says what a layout and a record are.
"""

from __future__ import annotations

# Where the fields of PyArrayObject and PyArray_Descr stand, after the header.
_HEADER = object.__basicsize__
FIELDS = {
    "data": _HEADER,
    "nd": _HEADER + 8,
    "dims": _HEADER + 16,
    "descr": _HEADER + 40,
    "flags": _HEADER + 48,
    "order": _HEADER + 10,
    "number": _HEADER + 12,
}
CONTIGUOUS_ALIGNED, WRITEABLE = 0x0101, 0x0400

SOURCE = """\
define internal i64 @word(ptr %layout, i64 %place) alwaysinline {{
  %at = getelementptr i64, ptr %layout, i64 %place
  %word = load i64, ptr %at
  ret i64 %word
}}

define internal ptr @pointer(ptr %layout, i64 %place) alwaysinline {{
  %at = getelementptr ptr, ptr %layout, i64 %place
  %pointer = load ptr, ptr %at
  ret ptr %pointer
}}

define internal ptr @entries(ptr %object, ptr %record, ptr %ndarray)
    alwaysinline {{
entry:
  %type_at = getelementptr i8, ptr %object, i64 {type_offset}
  %type = load ptr, ptr %type_at
  %exact = icmp eq ptr %type, %ndarray
  br i1 %exact, label %array, label %refuse
array:
  %flags_at = getelementptr i8, ptr %object, i64 {flags}
  %flags = load i32, ptr %flags_at
  %good_flags = and i32 %flags, {contiguous_aligned}
  %orderly = icmp eq i32 %good_flags, {contiguous_aligned}
  %nd_at = getelementptr i8, ptr %object, i64 {nd}
  %nd = load i32, ptr %nd_at
  %wide_nd = sext i32 %nd to i64
  %wanted_nd = call i64 @word(ptr %record, i64 1)
  %same_nd = icmp eq i64 %wide_nd, %wanted_nd
  %descr_at = getelementptr i8, ptr %object, i64 {descr}
  %descr = load ptr, ptr %descr_at
  %order_at = getelementptr i8, ptr %descr, i64 {order}
  %order = load i8, ptr %order_at
  %native_order = icmp eq i8 %order, {native}
  %no_order = icmp eq i8 %order, {irrelevant}
  %ordered = or i1 %native_order, %no_order
  %number_at = getelementptr i8, ptr %descr, i64 {number}
  %number = load i32, ptr %number_at
  %wide_number = sext i32 %number to i64
  %wanted = call i64 @word(ptr %record, i64 0)
  %same_number = icmp eq i64 %wide_number, %wanted
  %fit_a = and i1 %orderly, %same_nd
  %fit_b = and i1 %ordered, %same_number
  %fit = and i1 %fit_a, %fit_b
  br i1 %fit, label %dimensions, label %refuse
dimensions:
  %dims_at = getelementptr i8, ptr %object, i64 {dims}
  %dims = load ptr, ptr %dims_at
  %wanted_dims = call ptr @pointer(ptr %record, i64 2)
  br label %head
head:
  %i = phi i64 [ 0, %dimensions ], [ %next, %compare ]
  %more = icmp slt i64 %i, %wide_nd
  br i1 %more, label %compare, label %accept
compare:
  %size = call i64 @word(ptr %dims, i64 %i)
  %wanted_size = call i64 @word(ptr %wanted_dims, i64 %i)
  %same_size = icmp eq i64 %size, %wanted_size
  %next = add i64 %i, 1
  br i1 %same_size, label %head, label %refuse
accept:
  %data_at = getelementptr i8, ptr %object, i64 {data}
  %data = load ptr, ptr %data_at
  ret ptr %data
refuse:
  ret ptr null
}}

define internal ptr @scalar(ptr %from, ptr %record, ptr %make) noinline {{
entry:
  %code = call i64 @word(ptr %record, i64 0)
  switch i64 %code, label %other [ i64 {a_number}, label %float
                                   i64 {a_truth}, label %truth ]
float:
  %value = load double, ptr %from
  %number = call ptr @PyFloat_FromDouble(double %value)
  ret ptr %number
truth:
  %bit = load i8, ptr %from
  %long = zext i8 %bit to i64
  %bool = call ptr @PyBool_FromLong(i64 %long)
  ret ptr %bool
other:
  %descr = call ptr @pointer(ptr %record, i64 3)
  %object = call ptr %make(ptr %from, ptr %descr, ptr null)
  ret ptr %object
}}

define internal void @drop(ptr %objects, i64 %count) noinline cold optnone {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %step ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %look, label %done
look:
  %at = getelementptr ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %at
  %none = icmp eq ptr %object, null
  br i1 %none, label %step, label %release
release:
  call void @Py_DecRef(ptr %object)
  br label %step
step:
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}}

define internal ptr @tuple(ptr %objects, i64 %count) noinline {{
entry:
  %tuple = call ptr @PyTuple_New(i64 %count)
  %lacking = icmp eq ptr %tuple, null
  br i1 %lacking, label %fail, label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %put ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %put, label %done
put:
  %object = call ptr @pointer(ptr %objects, i64 %i)
  call void @put(ptr %tuple, i64 %i, ptr %object)
  %next = add i64 %i, 1
  br label %head
fail:
  call void @drop(ptr %objects, i64 %count)
  ret ptr null
done:
  ret ptr %tuple
}}

define internal ptr @slopes(ptr %objects, i64 %count, i64 %bare) noinline {{
entry:
  %alone = icmp ne i64 %bare, 0
  br i1 %alone, label %one, label %several
one:
  %object = load ptr, ptr %objects
  ret ptr %object
several:
  %tuple = call ptr @tuple(ptr %objects, i64 %count)
  ret ptr %tuple
}}

define internal ptr @result(ptr %layout, ptr %objects, i64 %count) noinline {{
entry:
  %kind = call i64 @word(ptr %layout, i64 {kind})
  %bare = call i64 @word(ptr %layout, i64 {bare})
  %gradients = sub i64 %count, 1
  %rest = getelementptr ptr, ptr %objects, i64 1
  %first = load ptr, ptr %objects
  switch i64 %kind, label %flat [ i64 {value}, label %one
                                  i64 {pair}, label %two
                                  i64 {gradient}, label %slope ]
flat:
  %all = call ptr @tuple(ptr %objects, i64 %count)
  ret ptr %all
one:
  call void @drop(ptr %rest, i64 %gradients)
  ret ptr %first
slope:
  call void @Py_DecRef(ptr %first)
  %only = call ptr @slopes(ptr %rest, i64 %gradients, i64 %bare)
  ret ptr %only
two:
  %beside = call ptr @slopes(ptr %rest, i64 %gradients, i64 %bare)
  %lacking = icmp eq ptr %beside, null
  br i1 %lacking, label %fail, label %both
fail:
  call void @Py_DecRef(ptr %first)
  ret ptr null
both:
  store ptr %beside, ptr %rest
  %pair = call ptr @tuple(ptr %objects, i64 2)
  ret ptr %pair
}}

"""
