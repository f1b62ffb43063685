#!/bin/sh
# The NEON kernel on a machine without NEON: built by a cross compiler and run in
# an emulator (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross,
# qemu-user-static).  Where they are missing, it is skipped.
echo 1..1
for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
  if ! command -v $tool >/dev/null 2>&1; then
    echo "ok 1 # SKIP there is no $tool"
    exit 0
  fi
done
root=${srcdir:-.}
program=$(mktemp) || exit 1
trap 'rm -f "$program"' EXIT
if aarch64-linux-gnu-gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static \
  -D_GNU_SOURCE= -I"$root" -o "$program" \
  "$root/tests/core/code/neon_check.c" "$root/core/code/hamming_neon.c" \
  "$root/core/code/hamming_scalar.c" "$root/core/base/rng.c" -lm; then
  qemu-aarch64-static "$program"
else
  echo "not ok 1 - the NEON kernel is built"
  exit 1
fi
