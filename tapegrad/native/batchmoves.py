"""Parts of the inner loop of ufuncs: where operands stand, and how they move. Floor 9.

LLVM text; `batchloop` is the loop.
"""

# Entries between a contiguous buffer and lanes that stand anywhere.
MOVE = """\
define internal void @move(ptr %flat, ptr %base, i64 %lanes, i64 %lane_step, i64 %nd,
                           ptr %shape, ptr %steps, i64 %size, i1 %out) noinline {
entry:
  br label %lane_head
lane_head:
  %lane = phi i64 [ 0, %entry ], [ %lane_next, %lane_end ]
  %more = icmp slt i64 %lane, %lanes
  br i1 %more, label %lane_body, label %exit
lane_body:
  %lane_off = mul i64 %lane, %lane_step
  %first = mul i64 %lane, %size
  br label %entry_head
entry_head:
  %e = phi i64 [ 0, %lane_body ], [ %e_next, %entry_end ]
  %left = icmp slt i64 %e, %size
  br i1 %left, label %place_head, label %lane_end
place_head:
  %j = phi i64 [ %nd, %entry_head ], [ %j_less, %place_body ]
  %rest = phi i64 [ %e, %entry_head ], [ %rest_next, %place_body ]
  %off = phi i64 [ %lane_off, %entry_head ], [ %off_next, %place_body ]
  %inner = icmp sgt i64 %j, 0
  br i1 %inner, label %place_body, label %copy
place_body:
  %j_less = sub i64 %j, 1
  %dim_at = getelementptr i64, ptr %shape, i64 %j_less
  %dim = load i64, ptr %dim_at
  %step_at = getelementptr i64, ptr %steps, i64 %j_less
  %step = load i64, ptr %step_at
  %index = urem i64 %rest, %dim
  %rest_next = udiv i64 %rest, %dim
  %move = mul i64 %index, %step
  %off_next = add i64 %off, %move
  br label %place_head
copy:
  %there = getelementptr i8, ptr %base, i64 %off
  %which = add i64 %first, %e
  %here = getelementptr double, ptr %flat, i64 %which
  br i1 %out, label %give, label %take
give:
  %given = load double, ptr %here
  store double %given, ptr %there
  br label %entry_end
take:
  %taken = load double, ptr %there
  store double %taken, ptr %here
  br label %entry_end
entry_end:
  %e_next = add i64 %e, 1
  br label %entry_head
lane_end:
  %lane_next = add i64 %lane, 1
  br label %lane_head
exit:
  ret void
}

define internal i1 @contiguous(i64 %nd, ptr %shape, ptr %steps) noinline {
entry:
  br label %head
head:
  %j = phi i64 [ %nd, %entry ], [ %less, %go ]
  %expected = phi i64 [ 8, %entry ], [ %wider, %go ]
  %more = icmp sgt i64 %j, 0
  br i1 %more, label %look, label %good
look:
  %less = sub i64 %j, 1
  %dim_at = getelementptr i64, ptr %shape, i64 %less
  %dim = load i64, ptr %dim_at
  %step_at = getelementptr i64, ptr %steps, i64 %less
  %step = load i64, ptr %step_at
  %as_it_should = icmp eq i64 %step, %expected
  %single = icmp eq i64 %dim, 1
  %fine = or i1 %as_it_should, %single
  br i1 %fine, label %go, label %bad
go:
  %wider = mul i64 %expected, %dim
  br label %head
good:
  ret i1 true
bad:
  ret i1 false
}

define internal i1 @apart(ptr %p, ptr %args, ptr %steps, i64 %start, i64 %count,
                          i64 %reach) noinline {
entry:
  %here = ptrtoint ptr %p to i64
  %under = sub i64 0, %reach
  br label %head
head:
  %k = phi i64 [ 0, %entry ], [ %next, %go ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %look, label %good
look:
  %arg_at = getelementptr ptr, ptr %args, i64 %k
  %arg = load ptr, ptr %arg_at
  %step_at = getelementptr i64, ptr %steps, i64 %k
  %step = load i64, ptr %step_at
  %moved = mul i64 %start, %step
  %input = getelementptr i8, ptr %arg, i64 %moved
  %there = ptrtoint ptr %input to i64
  %distance = sub i64 %here, %there
  %above = icmp slt i64 %distance, %reach
  %below = icmp sgt i64 %distance, %under
  %near = and i1 %above, %below
  br i1 %near, label %bad, label %go
go:
  %next = add i64 %k, 1
  br label %head
good:
  ret i1 true
bad:
  ret i1 false
}
"""

# Whether a lane reads what another one writes, as in ``reduce``, whose output stands
# still, and in ``accumulate``, where it is the next input. NumPy has made copies of
# operands that overlap in any other way, but for those that are the very same.
CHAINED = """\
define internal i1 @chained(ptr %args, ptr %steps, i64 %n, i64 %inputs, i64 %total)
    noinline {
entry:
  %many = icmp sgt i64 %n, 1
  br i1 %many, label %outer, label %no
outer:
  %o = phi i64 [ %inputs, %entry ], [ %o_next, %outer_next ]
  %some = icmp slt i64 %o, %total
  br i1 %some, label %output, label %no
output:
  %out_at = getelementptr ptr, ptr %args, i64 %o
  %out = load ptr, ptr %out_at
  %out_step_at = getelementptr i64, ptr %steps, i64 %o
  %out_step = load i64, ptr %out_step_at
  %still = icmp eq i64 %out_step, 0
  br i1 %still, label %yes, label %inner
inner:
  %k = phi i64 [ 0, %output ], [ %k_next, %inner_next ]
  %more = icmp slt i64 %k, %inputs
  br i1 %more, label %look, label %outer_next
look:
  %in_at = getelementptr ptr, ptr %args, i64 %k
  %in = load ptr, ptr %in_at
  %in_step_at = getelementptr i64, ptr %steps, i64 %k
  %in_step = load i64, ptr %in_step_at
  %alike = icmp eq i64 %in_step, %out_step
  %here = ptrtoint ptr %out to i64
  %there = ptrtoint ptr %in to i64
  %distance = sub i64 %here, %there
  %whole = srem i64 %distance, %out_step
  %on_it = icmp eq i64 %whole, 0
  %lanes = sdiv i64 %distance, %out_step
  %least = sub i64 0, %n
  %after = icmp sgt i64 %lanes, %least
  %before = icmp slt i64 %lanes, %n
  %moved = icmp ne i64 %lanes, 0
  %one = and i1 %alike, %on_it
  %two = and i1 %after, %before
  %three = and i1 %one, %two
  %found = and i1 %three, %moved
  br i1 %found, label %yes, label %inner_next
inner_next:
  %k_next = add i64 %k, 1
  br label %inner
outer_next:
  %o_next = add i64 %o, 1
  br label %outer
yes:
  ret i1 true
no:
  ret i1 false
}

"""
