#!/bin/sh
# cargo's RUSTC_WRAPPER for the fuzz targets: compiles crl and the targets with the coverage that
# libFuzzer reads, by the flags of cargo-fuzz, and everything else without it: fuzzing is to explore
# crl, and instrumenting its dependencies would take most of the time.
case " $* " in
*" --crate-name crl "* | *" --crate-type bin "*fuzz_targets/*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg=fuzzing
    ;;
esac
exec "$@"
