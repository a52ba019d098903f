# scripts/lib/build.sh: configure and build one CMake preset. Sourced, not run.
# Why: quickstart and the tests build the same way, and a failed step shows its
# own output instead of hiding in a log.
# shellcheck shell=bash

# build_preset PRESET [TARGET...]: from the repository's root; all targets by default.
build_preset() {
    local preset=$1 log
    shift
    mkdir -p build
    log=build/configure-$preset.log
    if ! cmake --preset "$preset" >"$log" 2>&1; then
        cat "$log" >&2
        printf 'Configuring preset %s failed (above). If this tree was copied or moved, ' "$preset" >&2
        printf 'remove build/%s and run again.\n' "$preset" >&2
        return 1
    fi
    local -a args=()
    [[ $# -gt 0 ]] && args=(--target "$@")
    cmake --build --preset "$preset" -j "$(build_jobs)" "${args[@]}"
}

# One job a core, but no more than the memory carries (a sanitized cc1 takes ~400 MB).
build_jobs() {
    local jobs mem_mib
    jobs=$(nproc)
    mem_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    ((mem_mib / 400 < jobs)) && jobs=$((mem_mib / 400))
    ((jobs < 1)) && jobs=1
    printf '%s\n' "$jobs"
}
