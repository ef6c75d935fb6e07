"""Memory of others, in LLVM's language: ``out=``, and what threads may write. Floor 9.

``@split`` and ``@given`` find the objects of ``out``, which nests like the result;
``@place`` gives the entries of one, if it is the very array that a kernel would fill
and lies apart from everything else. ``@private`` copies the arrays of integers before a
kernel runs without the lock: an index that another thread changes after it was checked
would read anywhere. Other numbers may change, as in NumPy; the result may be any. All
of it is kept out of the thunk's way, and not optimised: it takes less time to make so.
"""

from __future__ import annotations

SOURCE = """\
define internal i1 @tuple_of(ptr %layout, ptr %object, i64 %count)
    noinline cold optnone {{
entry:
  %tuple = call ptr @pointer(ptr %layout, i64 {tuple_type})
  %type_at = getelementptr i8, ptr %object, i64 {type_offset}
  %type = load ptr, ptr %type_at
  %exact = icmp eq ptr %type, %tuple
  br i1 %exact, label %look, label %refuse
look:
  %size_at = getelementptr i8, ptr %object, i64 {size_offset}
  %size = load i64, ptr %size_at
  %same = icmp eq i64 %size, %count
  ret i1 %same
refuse:
  ret i1 false
}}

define internal i1 @is_out(ptr %layout, ptr %names)
    noinline cold optnone {{
entry:
  %one = call i1 @tuple_of(ptr %layout, ptr %names, i64 1)
  br i1 %one, label %look, label %refuse
look:
  %name = call ptr @item(ptr %names, i64 0)
  %wanted = call ptr @pointer(ptr %layout, i64 {out_name})
  %same = icmp eq ptr %name, %wanted
  ret i1 %same
refuse:
  ret i1 false
}}

define internal i1 @split(ptr %layout, ptr %out, i64 %outputs, ptr %ends)
    noinline cold optnone {{
entry:
  %kind = call i64 @word(ptr %layout, i64 {kind})
  %bare = call i64 @word(ptr %layout, i64 {bare})
  %none = call ptr @pointer(ptr %layout, i64 {none})
  %rest_at = getelementptr ptr, ptr %ends, i64 1
  store ptr %none, ptr %ends
  store ptr %none, ptr %rest_at
  switch i64 %kind, label %refuse [ i64 {value}, label %one
                                    i64 {pair}, label %two
                                    i64 {gradient}, label %slopes ]
one:
  store ptr %out, ptr %ends
  ret i1 true
slopes:
  store ptr %out, ptr %rest_at
  br label %check
two:
  %both = call i1 @tuple_of(ptr %layout, ptr %out, i64 2)
  br i1 %both, label %parts, label %refuse
parts:
  %first = call ptr @item(ptr %out, i64 0)
  %second = call ptr @item(ptr %out, i64 1)
  store ptr %first, ptr %ends
  store ptr %second, ptr %rest_at
  br label %check
check:
  %rest = load ptr, ptr %rest_at
  %nothing = icmp eq ptr %rest, %none
  %alone = icmp ne i64 %bare, 0
  %easy = or i1 %nothing, %alone
  br i1 %easy, label %accept, label %several
several:
  %gradients = sub i64 %outputs, 1
  %fits = call i1 @tuple_of(ptr %layout, ptr %rest, i64 %gradients)
  ret i1 %fits
accept:
  ret i1 true
refuse:
  ret i1 false
}}

define internal ptr @given(ptr %layout, ptr %ends, i64 %k)
    noinline cold optnone {{
entry:
  %none = call ptr @pointer(ptr %layout, i64 {none})
  %bare = call i64 @word(ptr %layout, i64 {bare})
  %rest_at = getelementptr ptr, ptr %ends, i64 1
  %first = load ptr, ptr %ends
  %rest = load ptr, ptr %rest_at
  %is_first = icmp eq i64 %k, 0
  br i1 %is_first, label %found, label %later
later:
  %alone = icmp ne i64 %bare, 0
  %nothing = icmp eq ptr %rest, %none
  %whole = or i1 %alone, %nothing
  br i1 %whole, label %found, label %inside
inside:
  %place = sub i64 %k, 1
  %part = call ptr @item(ptr %rest, i64 %place)
  br label %found
found:
  %object = phi ptr [ %first, %entry ], [ %rest, %later ], [ %part, %inside ]
  %absent = icmp eq ptr %object, %none
  %answer = select i1 %absent, ptr null, ptr %object
  ret ptr %answer
}}

define internal ptr @place(ptr %object, ptr %records, ptr %ndarray, ptr %ins,
                           ptr %outs, i64 %inputs, i64 %k)
    noinline cold optnone {{
entry:
  %number = add i64 %inputs, %k
  %words = mul i64 %number, {record}
  %record = getelementptr i64, ptr %records, i64 %words
  %data = call ptr @entries(ptr %object, ptr %record, ptr %ndarray)
  %unfit = icmp eq ptr %data, null
  br i1 %unfit, label %refuse, label %marks
marks:
  %flags_at = getelementptr i8, ptr %object, i64 {flags}
  %flags = load i32, ptr %flags_at
  %bit = and i32 %flags, {writeable}
  %frozen = icmp eq i32 %bit, 0
  %mine = call i64 @word(ptr %record, i64 4)
  %end = getelementptr i8, ptr %data, i64 %mine
  br i1 %frozen, label %refuse, label %head
head:
  %j = phi i64 [ 0, %marks ], [ %next, %look ]
  %more = icmp slt i64 %j, %number
  br i1 %more, label %look, label %accept
look:
  %is_in = icmp slt i64 %j, %inputs
  %past = sub i64 %j, %inputs
  %in_at = getelementptr ptr, ptr %ins, i64 %j
  %out_at = getelementptr ptr, ptr %outs, i64 %past
  %at = select i1 %is_in, ptr %in_at, ptr %out_at
  %other = load ptr, ptr %at
  %other_words = mul i64 %j, {record}
  %other_record = getelementptr i64, ptr %records, i64 %other_words
  %other_bytes = call i64 @word(ptr %other_record, i64 4)
  %other_end = getelementptr i8, ptr %other, i64 %other_bytes
  %begins = icmp ult ptr %data, %other_end
  %ends = icmp ult ptr %other, %end
  %overlap = and i1 %begins, %ends
  %next = add i64 %j, 1
  br i1 %overlap, label %refuse, label %head
accept:
  ret ptr %data
refuse:
  ret ptr null
}}

define internal i1 @private(ptr %layout, ptr %ins, ptr %copies, i64 %inputs)
    noinline cold optnone {{
entry:
  %records = getelementptr i64, ptr %layout, i64 {head}
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %tail ]
  %fine = phi i1 [ true, %entry ], [ %still, %tail ]
  %more = icmp slt i64 %i, %inputs
  br i1 %more, label %look, label %done
look:
  %words = mul i64 %i, {record}
  %record = getelementptr i64, ptr %records, i64 %words
  %code = call i64 @word(ptr %record, i64 0)
  %places = icmp eq i64 %code, {integer}
  br i1 %places, label %copy, label %tail
copy:
  %bytes = call i64 @word(ptr %record, i64 4)
  %some = add i64 %bytes, 8
  %memory = call ptr @malloc(i64 %some)
  %copy_at = getelementptr ptr, ptr %copies, i64 %i
  store ptr %memory, ptr %copy_at
  %none = icmp eq ptr %memory, null
  br i1 %none, label %tail, label %fill
fill:
  %in_at = getelementptr ptr, ptr %ins, i64 %i
  %from = load ptr, ptr %in_at
  %same = call ptr @memcpy(ptr %memory, ptr %from, i64 %bytes)
  store ptr %memory, ptr %in_at
  br label %tail
tail:
  %good = phi i1 [ true, %look ], [ false, %copy ], [ true, %fill ]
  %still = and i1 %fine, %good
  %next = add i64 %i, 1
  br label %head
done:
  ret i1 %fine
}}

define internal void @forget(ptr %layout, ptr %copies, i64 %inputs)
    noinline cold optnone {{
entry:
  %records = getelementptr i64, ptr %layout, i64 {head}
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %tail ]
  %more = icmp slt i64 %i, %inputs
  br i1 %more, label %look, label %done
look:
  %words = mul i64 %i, {record}
  %record = getelementptr i64, ptr %records, i64 %words
  %code = call i64 @word(ptr %record, i64 0)
  %places = icmp eq i64 %code, {integer}
  br i1 %places, label %release, label %tail
release:
  %copy_at = getelementptr ptr, ptr %copies, i64 %i
  %memory = load ptr, ptr %copy_at
  call void @free(ptr %memory)
  br label %tail
tail:
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}}

"""
