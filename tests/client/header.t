#!/bin/sh
# The installed header stands alone: plain C11, and C++.  Prints TAP.
header=${srcdir:-.}/client/akin.h
n=0

try () {
    name=$1
    shift
    n=$((n + 1))
    if ! command -v "$1" > /dev/null 2>&1; then
        echo "ok $n - $name # SKIP no $1"
    elif text=$("$@" "$header" 2>&1); then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        echo "$text" | sed 's/^/# /'
    fi
}

echo 1..3
try it_is_plain_c11 ${CC:-cc} -x c -std=c11 -pedantic-errors -Wall -Wextra \
    -Werror -fsyntax-only
try it_is_good_cpp ${CXX:-g++} -x c++ -std=c++11 -pedantic-errors -Wall \
    -Wextra -Werror -fsyntax-only
n=$((n + 1))
if grep -n '^#include' "$header" | grep -v '<std[a-z]*\.h>'; then
    echo "not ok $n - it_includes_the_standard_only"
else
    echo "ok $n - it_includes_the_standard_only"
fi
