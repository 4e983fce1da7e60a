#!/usr/bin/env bash
# Walk the guide's story with live tokens against a running suite: through the gateway with opaque tokens, then directly
# at the order service with JWTs. Every step says what it expects; any other answer ends the walk with an error.
#
#   scripts/demo.sh
#   DATA      folder with demo-credentials, default var (var/guide if the suite runs with --guide)
#   CA_FILE   default certs/ca.pem
#   STS_URL, GATEWAY_URL, ORDER_URL   default https://localhost:9445, :8443 and :9090
set -euo pipefail
cd "$(dirname "$0")/.."

sts=${STS_URL:-https://localhost:9445}
gateway=${GATEWAY_URL:-https://localhost:8443}
order=${ORDER_URL:-https://localhost:9090}
ca_file=${CA_FILE:-certs/ca.pem}
credentials=${DATA:-var}/demo-credentials
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
steps=0

bold='' red='' green='' plain=''
if [[ -t 1 ]]; then bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'; fi

fail() {
  printf '%s%s%s\n' "$red" "$1" "$plain" >&2
  exit 1
}

[[ -r $credentials ]] || fail "cannot read $credentials: is the suite running? Its first start makes the file."

# ask ARGUMENT...: curl with what every call shares; secrets come in by files, never by the command line
ask() { curl --silent --show-error --cacert "$ca_file" --max-time 30 "$@"; }

# member NAME: the string member of the JSON object on standard input
member() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

# token CLIENT [RESOURCE]: a token for the client itself; with a resource a JWT for it (RFC 8707)
token() {
  local kind name secret
  while read -r kind name secret; do
    if [[ $kind == client && $name == "$1" ]]; then break; fi
  done < "$credentials"
  [[ ${name-} == "$1" ]] || fail "no client $1 in $credentials"
  printf 'user = "%s:%s"\n' "$name" "$secret" > "$work/client"
  ask --config "$work/client" --data grant_type=client_credentials ${2:+--data-urlencode "resource=$2"} \
    "$sts/oauth2/token" | member access_token
}

# step EXPECTED_STATUS WHAT TOKEN CURL_ARGUMENT...
step() {
  local expected=$1 what=$2 token=$3 status
  shift 3
  steps=$((steps + 1))
  printf 'header = "Authorization: Bearer %s"\n' "$token" > "$work/token"
  [[ -n $token ]] || : > "$work/token"
  status=$(ask --config "$work/token" --output "$work/answer" --write-out '%{http_code}' "$@")
  printf '%s%-60s%s %s\n' "$bold" "$what" "$plain" "$status"
  if [[ -s $work/answer ]]; then printf '    %s\n' "$(< "$work/answer")"; fi
  [[ $status == "$expected" ]] || fail "expected $expected"
}

# walk URL ID COUNTER_TOKEN ADMIN_TOKEN: the guide's story
walk() {
  local url=$1 id=$2 counter=$3 admin=$4 json='Content-Type: application/json'
  local sample="{\"id\": \"$id\", \"name\": \"Sample order\", \"items\": [
    {\"category\": \"electronics\", \"code\": \"SOWH1000XM4\", \"qty\": 2},
    {\"category\": \"books\", \"code\": \"978-1617295959\", \"qty\": 1}]}"
  local updated='{"name": "Updated order", "items": [{"category": "electronics", "code": "SOWH1000XM4", "qty": 1}]}'
  step 401 'create without a token' '' --header "$json" --data "$sample" "$url/order"
  step 201 'create as counter' "$counter" --header "$json" --data "$sample" "$url/order"
  step 409 'create the same order again' "$counter" --header "$json" --data "$sample" "$url/order"
  step 200 'read without a token' '' "$url/order/$id"
  step 401 'update without a token' '' --request PUT --header "$json" --data "$updated" "$url/order/$id"
  step 403 'update as counter' "$counter" --request PUT --header "$json" --data "$updated" "$url/order/$id"
  step 200 'update as admin' "$admin" --request PUT --header "$json" --data "$updated" "$url/order/$id"
  step 200 'who did what, as its owner' "$counter" "$url/order/$id/history"
  step 200 'cancel as admin' "$admin" --request DELETE "$url/order/$id"
  step 404 'read what is gone' '' "$url/order/$id"
}

counter=$(token counter-app)
admin=$(token admin-app)
counter_jwt=$(token counter-app "$order")
admin_jwt=$(token admin-app "$order")
[[ -n $counter && -n $admin && -n $counter_jwt && -n $admin_jwt ]] || fail "no token from $sts"

printf '\nThrough the gateway, with opaque tokens\n'
walk "$gateway" demo-gateway "$counter" "$admin"
step 401 'a JWT is nothing to the gateway' "$counter_jwt" "$gateway/order"
step 200 'the stock, through the gateway' '' "$gateway/inventory/electronics"

printf '\nDirectly at the order service, with JWTs for it\n'
walk "$order" demo-direct "$counter_jwt" "$admin_jwt"
step 401 'an opaque token is nothing to the order service' "$counter" "$order/order"

printf '\n%s%d steps, all as expected%s\n' "$green" "$steps" "$plain"
