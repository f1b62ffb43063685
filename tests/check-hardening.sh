#!/bin/sh
# Checks that the programs are hardened as configure.ac means them to be: what
# one flag does is looked for in each, in the way that it shows.  Prints TAP.
#
# usage: check-hardening.sh [PROGRAM...]
builddir=${top_builddir:-.}
[ $# -gt 0 ] || set -- "$builddir/server/akind" "$builddir/server/akin-worker" \
  "$builddir/client/akin"

# Set by make check to what configure found.
case ${AK_HARDENED-yes} in
  yes) ;;
  *) echo "1..0 # SKIP built without: $AK_HARDENED"; exit ;;
esac
for tool in readelf objdump; do
  command -v $tool >/dev/null || { echo "1..0 # SKIP no $tool"; exit; }
done

n=0
# look SENTENCE PATTERN COMMAND...: PATTERN is in what the command shows.
look() {
  sentence="${program##*/} $1" pattern=$2
  shift 2
  n=$((n + 1))
  if LC_ALL=C "$@" "$program" 2>&1 | grep -Eq -- "$pattern"; then
    echo "ok $n - $sentence"
  else
    echo "not ok $n - $sentence"
    echo "# no \"$pattern\" in $* $program; objects of older flags need a" \
      "make clean"
  fi
}

for program; do
  look "is loaded at an address that nobody knows" \
    'Type: +DYN \(Position-Independent Executable' readelf -hW
  look "makes its tables of addresses read-only" '^ +GNU_RELRO ' readelf -lW
  look "has them filled before it begins" '(BIND_NOW|Flags:.* NOW)' readelf -dW
  look "has a stack that no code runs on" 'GNU_STACK .* RW +0x' readelf -lW
  # What is not called is not there: akin-worker keeps no array on its stack, and
  # copies to none.
  if [ "${program##*/}" != akin-worker ]; then
    look "notices when its stack is written over" ' UND __stack_chk_fail@' \
      readelf -W --dyn-syms
    look "knows the ends of what it copies to" \
      ' UND __(memcpy|memset|snprintf|vsnprintf|fprintf)_chk@' \
      readelf -W --dyn-syms
  fi
  # Debian's own crt1.o has no mark, so the program's note has none either; the
  # instruction is there.
  case $(LC_ALL=C readelf -h "$program") in
    *X86-64*) look "marks where a call may lead" 'endbr64' \
      objdump -d --no-show-raw-insn --disassemble=main ;;
  esac
done
echo "1..$n"
