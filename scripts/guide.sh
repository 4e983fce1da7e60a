#!/usr/bin/env bash
# Replay the guide's exchanges against a suite that runs with --guide, and compare each answer with the printed one.
# Three differences are expected and no more: the scheme in Location (https here), Server and Date.
# A suite at another address names that in Location, so there ORDER_URL is expected in place of the printed base.
#
#   scripts/guide.sh [ORDER_URL]      default https://localhost:9090; CA_FILE names the authority, default certs/ca.pem
set -uo pipefail
cd "$(dirname "$0")/.."

order_url=${1:-https://localhost:9090}
order_url=${order_url%/}
printed_url=http://localhost:9090
ca_file=${CA_FILE:-certs/ca.pem}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
differences=0
exchanges=0
declare -A exchange

bold='' red='' green='' plain=''
if [[ -t 1 ]]; then bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'; fi

published_token() {
  local user token
  while read -r user token; do
    if [[ $user == "$1" ]]; then printf '%s' "$token"; return; fi
  done < scripts/guide/tokens.txt
  printf 'no published token of %s\n' "$1" >&2
  exit 2
}

# compare WHAT EXPECTED ACTUAL
compare() {
  if [[ $2 == "$3" ]]; then return; fi
  printf '%s  %s differs\n    expected: %s\n    answered: %s%s\n' "$red" "$1" "$2" "$3" "$plain"
  differences=$((differences + 1))
}

header() { sed -n "s/^$1: //Ip" "$work/head"; }

replay() {
  local arguments=(--http1.1 --silent --show-error --cacert "$ca_file" --max-time 30
    --dump-header "$work/raw-head" --output "$work/answer" --request "${exchange[method]}")
  local expected_location
  if [[ -n ${exchange[body]-} ]]; then
    arguments+=(--header 'Content-Type: application/json' --data "${exchange[body]}")
  fi
  if [[ -n ${exchange[token]-} ]]; then
    printf 'header = "Authorization: Bearer %s"\n' "$(published_token "${exchange[token]}")" > "$work/token"
    arguments+=(--config "$work/token")
  fi
  exchanges=$((exchanges + 1))
  printf '\n%s%s%s\n> %s %s  token: %s\n' "$bold" "${exchange[name]}" "$plain" \
    "${exchange[method]}" "${exchange[path]}" "${exchange[token]-none}"
  : > "$work/answer"
  if ! curl "${arguments[@]}" "$order_url${exchange[path]}"; then
    printf '%s  no answer; is the suite running with --guide?%s\n' "$red" "$plain"
    exit 1
  fi
  tr -d '\r' < "$work/raw-head" > "$work/head"
  sed -n 's/^/< /p' "$work/head"
  if [[ -s $work/answer ]]; then printf '%s\n' "$(< "$work/answer")"; fi

  compare 'status line' "${exchange[status]}" "$(head -n 1 "$work/head")"
  expected_location=${exchange[location]-}
  if [[ -n $expected_location ]]; then expected_location=$order_url${expected_location#"$printed_url"}; fi
  compare Location "$expected_location" "$(header location)"
  compare content-type "${exchange[type]-}" "$(header content-type)"
  if [[ -n ${exchange[length]-} ]]; then compare content-length "${exchange[length]}" "$(header content-length)"; fi
  compare body "${exchange[answer]-}" "$(< "$work/answer")"
}

while IFS= read -r line || [[ -n $line ]]; do
  if [[ $line == '#'* ]]; then continue; fi
  if [[ -z $line ]]; then
    if [[ -n ${exchange[name]-} ]]; then replay; fi
    exchange=()
    continue
  fi
  read -r key value <<< "$line"
  exchange[$key]=$value
done < scripts/guide/exchanges.txt
if [[ -n ${exchange[name]-} ]]; then replay; fi

printf '\n'
if ((differences > 0 || exchanges != 7)); then
  printf '%s%d exchanges, %d differences%s\n' "$red" "$exchanges" "$differences" "$plain"
  exit 1
fi
printf '%s%d exchanges, all as the guide prints them%s\n' "$green" "$exchanges" "$plain"
