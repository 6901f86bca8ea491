#!/bin/sh
# Makes the secrets that docker-compose.yml names, at random; what exists is kept.
set -eu
folder=${1:-$(dirname "$0")/../secrets}
# The folder keeps others out; containers read single files, as users of their own.
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

random() { openssl rand -hex "$1" | tr -d '\n'; }
keep() {
    if [ -e "$1" ]; then
        echo "kept $1"
    else
        cat >"$1.new" && chmod 444 "$1.new" && mv "$1.new" "$1" && echo "made $1"
    fi
}

random 24 | keep postgres_password
printf 'postgresql+psycopg://mos:%s@postgres:5432/mos' "$(cat postgres_password)" |
    keep mos_database_url
random 10 | keep mos_s3_access_key
random 20 | keep mos_s3_secret_key
printf '{"identities": [{"name": "mos", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}\n' \
    "$(cat mos_s3_access_key)" "$(cat mos_s3_secret_key)" | keep s3_identities
random 16 | keep grafana_password
