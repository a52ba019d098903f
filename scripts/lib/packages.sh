# scripts/lib/packages.sh: the Debian packages Dunlin needs, and how to get them.
# Why: one list, so that the quickstart, the tests and CI cannot disagree.
# Sourced, not run. Installs only what is missing; with nothing missing it takes
# a fraction of a second and needs neither root nor network.
# shellcheck shell=bash disable=SC2034

# libyaml-dev: libcyaml.pc links it, but libcyaml-dev does not depend on it.
packages_build=(
    build-essential cmake ninja-build pkg-config git ca-certificates ccache
    libuv1-dev libnng-dev libmsgpack-dev libsodium-dev libhttp-parser-dev
    libcyaml-dev libyaml-dev libssl-dev libcmocka-dev
)

# gcc brings its own sanitizer runtimes; clang's are for fuzzing and a second opinion.
packages_test=(
    clang clang-format libclang-rt-14-dev gcovr shellcheck spin
    curl iproute2 netcat-openbsd nftables python3 procps util-linux
)

packages_die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Packages of "$@" that dpkg does not hold as installed.
packages_missing() {
    local have p
    # It fails if it knows nothing of one of them; what it prints is right all the same.
    have=" $({ dpkg-query -W -f='${db:Status-Status}:${Package}\n' "$@" 2>/dev/null || true; } |
        sed -n 's/^installed://p' | tr '\n' ' ')"
    for p in "$@"; do
        [[ $have == *" $p "* ]] || printf '%s\n' "$p"
    done
}

# What the tests need beyond packages_build on this machine. A machine may have
# its own clang-format or a node whose package conflicts with Debian's npm: the
# command counts, not the package.
packages_test_here() {
    local p
    for p in "${packages_test[@]}"; do
        case $p in
        clang | clang-format | gcovr | shellcheck | spin | curl | python3)
            command -v "$p" >/dev/null && continue
            ;;
        esac
        printf '%s\n' "$p"
    done
    command -v node >/dev/null || printf 'nodejs\n'
    command -v npm >/dev/null || printf 'npm\n'
}

# packages_ensure PACKAGE...: installs the missing ones or exits with the reason.
packages_ensure() {
    local -a missing as_root=()
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        packages_die "This script installs its packages with apt-get, which this system lacks." \
            "Use Debian 12, or install by hand the equivalents of: $*"
    fi
    mapfile -t missing < <(packages_missing "$@")
    [[ ${#missing[@]} -eq 0 ]] && return 0

    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null || packages_die \
            "Missing packages: ${missing[*]}. Run as root: apt-get install -y ${missing[*]}"
        as_root=(sudo)
    fi
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)

    printf 'Installing: %s\n' "${missing[*]}" >&2
    if ! packages_known "${missing[@]}" ||
        ! "${as_root[@]}" install --no-install-recommends "${missing[@]}" </dev/null >&2; then
        "${as_root[@]}" update </dev/null >&2 || packages_die \
            "apt-get update failed; check the network and /etc/apt/sources.list."
        "${as_root[@]}" install --no-install-recommends "${missing[@]}" </dev/null >&2 ||
            packages_die "apt-get could not install: ${missing[*]}. Its message above says why;" \
                "the packages are those of Debian 12 (bookworm)."
    fi
}

# True if the package lists on this machine already know every package of "$@".
packages_known() {
    local p
    for p in "$@"; do
        # Not grep -q: it leaves early, and the pipe would fail with its writer.
        apt-cache policy "$p" 2>/dev/null | grep 'Candidate: [^(]' >/dev/null || return 1
    done
}
