#!/usr/bin/env bash
#
# contrib/list-order.sh PROGRAM > contrib/list.ld: which functions `tidegate list' runs, as a linker script that puts
# them, and the tables that belong to them, next to each other (see static.toml). Takes two minutes, valgrind and user
# namespaces, and a PROGRAM with its symbols, built as static.toml says. What the C library does meanwhile is in libc.ld,
# which is kept by hand.
#
# contrib/list-order.sh --check PROGRAM: whether our own functions of list.ld are still in a PROGRAM, by their path; any
# build has them that inlines little, such as cargo's debug build. Status: 0 if nine of ten are; else it is time to make
# the list anew. Takes seconds, nm and c++filt.
set -euo pipefail

# Paths of functions as they are written, without type arguments and hashes, however they were mangled.
paths() {
    c++filt | sed -E 's/\[[0-9a-f]+\]//g; s/::h[0-9a-f]{16}$//; s/\{closure#[0-9]+\}/{{closure}}/g
        s/^[^<]*::<impl ([^<> ]+)>::/\1::/; :a; s/(::|[A-Za-z0-9_])<[^<>]*>/\1/g; ta
        s/::$//; s/^<([^<> ]+)>::/\1::/; s/::::/::/g' | LC_ALL=C sort -u
}

# Those that a trait of another crate asks for, or whose name isn't told without the hash, are not looked for.
check() {
    local listed gone known
    listed=$(sed -nE 's/^ +\*\(\.text\*\.(_R.*)\)$/\1/p' "${BASH_SOURCE[0]%/*}/list.ld" |
        sed 's/Cs\*_/Cs_/g' | paths | grep -E '^tidegate[a-z_]*::' | grep -v closure)
    known=$(nm --defined-only "$1" | awk '$2 ~ /[tTW]/ { print $3 }' | paths)
    gone=$(LC_ALL=C comm -23 <(echo "$listed") <(echo "$known"))
    echo "list.ld: $(wc -l <<<"$listed") functions looked for, gone: $(paste -sd' ' <<<"${gone:-none}")"
    (($(grep -c . <<<"$gone") * 10 <= $(grep -c . <<<"$listed")))
}

if [[ $1 == --check ]]; then
    check "$2"
    exit
fi

program=$(realpath "$1")
calls=$(mktemp -d)
trap 'rm -r "$calls"' EXIT

# Both families, TCP, UDP and ICMP, NAT, what has no answer, and more lines than are written at once; whole, filtered
# and in all forms: the rows of the bench `listing' and what else is usual.
export program calls
unshare --user --map-root-user --net bash -euo pipefail -c '
    said() { "$@" >/dev/null 2>"$calls/said" || { cat "$calls/said" >&2; exit 1; }; }
    flow() { said "$program" insert -t 600 "$@"; }
    listed() {
        said valgrind --quiet --tool=callgrind --demangle=no --callgrind-out-file="$calls/$((++listed)).calls" \
            "$program" list "$@"
    }
    flow -p udp -s 10.0.0.1 -d 192.0.2.1 --sport 4000 --dport 53
    flow -p udp -s 10.0.0.1 -d 192.0.2.1 --sport 4001 --dport 53 -n 198.51.100.1 -u SEEN_REPLY
    flow -p tcp -s 10.0.0.1 -d 192.0.2.1 --sport 4001 --dport 80 -g 10.9.9.9 --state SYN_SENT
    flow -p icmp -s 10.0.0.1 -d 192.0.2.1 --icmp-type 8 --icmp-code 0 --icmp-id 7
    flow -p tcp -s 2001:db8::1 -d 2001:db8::2 --sport 4000 --dport 443 --state TIME_WAIT
    for port in {4000..4300}; do
        flow -p tcp -s 10.0.0.1 -d 192.0.2.1 --sport $port --dport 443 --state ESTABLISHED -u SEEN_REPLY,ASSURED -m 7
    done
    listed=100 # for names of one length
    for output in text extended,id xml json csv table labels ktimestamp; do
        listed -o $output
    done
    listed -p udp
    listed -p tcp --state TIME_WAIT
    listed -p icmp
    listed -f ipv4 -p tcp --dport 443
    listed -f ipv6
    listed -s 10.0.0.1
    listed -d 192.0.2.0/24 --sport 4001
    listed -s 2001:db8::/32
    listed -r 192.0.2.1 -q 10.0.0.1
    listed -m 7
    listed -m 0x4/0x4
    listed -u ASSURED
    listed -n
    listed --any-nat
    listed --where "state established ( dport = :443 or src 10/8 )"
'
# Lines of a function's name and a form that runs it, without the compiler's hashes and numbers. Callgrind marks what
# calls itself with a number.
run_by() {
    sed -nE 's/^c?fn=\([0-9]+\) (.*)/\1/p;T;F' "$calls"/*.calls | paste - - | grep -E '^(_R|main\b)' |
        sed -E "s/'[0-9]+\t/\t/; s/\.[0-9]+\t/.*\t/; s/Cs[0-9A-Za-z]+_/Cs*_/g" | LC_ALL=C sort -u
}
# What all forms run comes first, then what most do, and what the same ones run stands together.
names=$(run_by | awk '{ count[$1]++; forms[$1] = forms[$1] $2 }
    END { for (name in count) print count[name] "\t" forms[name] "\t" name }' |
    LC_ALL=C sort -t$'\t' -k1,1nr -k2,2 -k3,3 | cut -f3)

echo "/* Made by list-order.sh: what \`tidegate list' runs. A name that is not there does no harm. */"
echo 'SECTIONS {'
echo '  .text.list : {'
sed 's/.*/    *(.text*.&)/' <<<"$names"
echo '  }'
echo '} INSERT AFTER .text;'
echo 'SECTIONS {'
echo '  .rodata.list : {'
echo '    *(.rodata.cst*)'
sed 's/.*/    *(.rodata*.&)/' <<<"$names"
echo '  }'
echo '} INSERT BEFORE .gcc_except_table;'
