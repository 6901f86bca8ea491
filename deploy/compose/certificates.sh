#!/bin/sh
# Makes a CA of one's own and a server certificate from it, for a trial: certificates.sh HOST [FOLDER]
# Clients then need the CA: export MOS_CA=…/ca.crt. Certificates from a known CA go to the same
# two files, tls_cert (with its chain) and tls_key, and need none of this.
set -eu
host=${1:?usage: certificates.sh HOST [FOLDER]}
folder=${2:-$(dirname "$0")/../secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"
case $host in
*[!0-9.]*) names="DNS:$host,DNS:localhost,IP:127.0.0.1" ;;
*) names="IP:$host,DNS:localhost,IP:127.0.0.1" ;;
esac

if [ ! -e ca.key ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=Mix-of-Show trial CA" -addext "basicConstraints=critical,CA:TRUE" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout ca.key -out ca.crt 2>/dev/null
    chmod 400 ca.key
    echo "made ca.crt: give it to clients as MOS_CA"
fi
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -subj "/CN=$host" -keyout tls_key.new -out tls.csr 2>/dev/null
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' "$names" >tls.ext
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 397 \
    -extfile tls.ext -out tls_cert.new 2>/dev/null
rm -f tls.csr tls.ext ca.srl
chmod 444 tls_key.new tls_cert.new
mv tls_key.new tls_key
mv tls_cert.new tls_cert
echo "made tls_cert and tls_key for $names, for 397 days"
