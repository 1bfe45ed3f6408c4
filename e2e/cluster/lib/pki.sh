# shellcheck shell=bash
# Certificates and kubeconfigs of one run, good for a day. Keys never leave the run's folder.

PKI=$CLUSTER_DIR/pki

pki_authority() {
  mkdir -p "$PKI"
  chmod 700 "$PKI"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=sofia-phone-e2e \
    -keyout "$PKI/ca.key" -out "$PKI/ca.crt" 2> /dev/null
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/service-accounts.key"
}

# pki_issue NAME SUBJECT [ALTERNATIVE-NAMES]
pki_issue() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$PKI/$1.key" 2> /dev/null \
    | openssl x509 -req -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 1 -out "$PKI/$1.crt" \
      -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${3:-DNS:$1}") 2> /dev/null
}

# pki_kubeconfig NAME FILE: for the certificate of that name.
pki_kubeconfig() {
  (
    umask 077
    cat > "$2" << YAML
apiVersion: v1
kind: Config
current-context: e2e
contexts: [{name: e2e, context: {cluster: e2e, user: $1}}]
clusters: [{name: e2e, cluster: {server: "https://$CONTROL_IP:6443", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$PKI/$1.crt"), client-key-data: $(base64 -w0 "$PKI/$1.key")}}]
YAML
  )
}
