//! The API over real TLS on loopback, with a made-up front proxy and a made-up API server behind.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::SystemTime;

use base64::Engine as _;
use http::{Method, Request, Response};
use kube::client::Body;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

use super::keeper::Keeper;
use super::*;

const BASE: &str = "/apis/custom.metrics.k8s.io/v1beta2";
const SERVER_NAME: &str = "cm.ops.svc";

/// An authority of client certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = parameters.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(parameters, key) }
    }

    /// Certificate and key of a client, in PEM.
    fn client(&self, name: &str) -> String {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }
}

/// What the API server behind has and was asked.
#[derive(Default)]
struct Cluster {
    objects: BTreeMap<String, Value>,
    pods: Vec<Value>,
    version: u64,
    denied: bool,
    reviews: Vec<Value>,
    queries: Vec<String>,
    patches: Vec<Value>,
}

impl Cluster {
    fn answer(&mut self, method: &Method, uri: &http::Uri, body: Value) -> (u16, Value) {
        let failure = |code: u16, reason: &str| {
            (code, json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason }))
        };
        let path = uri.path().to_owned();
        if path == "/apis/authorization.k8s.io/v1/subjectaccessreviews" {
            self.reviews.push(body["spec"].clone());
            let status = json!({ "allowed": !self.denied });
            return (201, json!({ "spec": body["spec"], "status": status }));
        }
        if path.ends_with("/pods") {
            self.queries.push(uri.query().unwrap_or_default().to_owned());
            return (200, json!({ "metadata": {}, "items": self.pods }));
        }
        match (method.as_str(), self.objects.get(&path).cloned()) {
            ("GET", Some(object)) => (200, object),
            ("PATCH", Some(mut object)) => {
                object["spec"]["caBundle"] = body["spec"]["caBundle"].clone();
                self.patches.push(body);
                self.objects.insert(path, object.clone());
                (200, object)
            }
            ("PUT", Some(old)) if old["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => {
                failure(409, "Conflict")
            }
            ("PUT", Some(_)) => (200, self.store(path, body)),
            ("POST", _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().expect("a name"));
                if self.objects.contains_key(&path) {
                    failure(409, "AlreadyExists")
                } else {
                    (201, self.store(path, body))
                }
            }
            _ => failure(404, "NotFound"),
        }
    }

    fn store(&mut self, path: String, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path, object.clone());
        object
    }
}

fn client(cluster: &Arc<Mutex<Cluster>>) -> kube::Client {
    let cluster = Arc::clone(cluster);
    let service = tower::service_fn(move |request: Request<Body>| {
        let cluster = Arc::clone(&cluster);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.expect("a body in memory");
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let (code, answer) =
                cluster.lock().expect("no test panics in here").answer(&parts.method, &parts.uri, body);
            let response = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, Infallible>(response.expect("a response"))
        }
    });
    kube::Client::new(service, "ops")
}

fn pod(name: &str, address: &str) -> Value {
    json!({ "metadata": { "name": name }, "status": { "phase": "Running", "podIP": address } })
}

const SECRET: &str = "/api/v1/namespaces/ops/secrets/cm-tls";
const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io";

struct Running {
    address: SocketAddr,
    cluster: Arc<Mutex<Cluster>>,
    front_proxy: Authority,
    keeper: Keeper,
    leads: watch::Sender<bool>,
    _stop: tokio_util::sync::DropGuard,
}

/// The whole, running: two pods with 3 and 5 calls, one that does not answer, one that does not run.
async fn running() -> Running {
    let front_proxy = Authority::new("front-proxy-ca");
    let data = json!({
        "requestheader-client-ca-file": front_proxy.pem,
        "requestheader-allowed-names": "[\"front-proxy-client\"]",
        "requestheader-username-headers": "[\"X-Remote-User\"]",
        "requestheader-group-headers": "[\"X-Remote-Group\"]",
        "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
    });
    let api_service = json!({
        "metadata": { "name": "v1beta2.custom.metrics.k8s.io" },
        "spec": {
            "groupPriorityMinimum": 100, "versionPriority": 200,
            "service": { "name": "cm", "namespace": "ops" },
        },
    });
    let cluster = Arc::new(Mutex::new(Cluster::default()));
    {
        let mut cluster = cluster.lock().expect("no test panics in here");
        let map = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
        cluster.store(map.to_owned(), json!({ "metadata": {}, "data": data }));
        cluster.store(API_SERVICE.to_owned(), api_service);
        let mut starting = pod("d", "192.0.2.4");
        starting["status"]["phase"] = json!("Pending");
        cluster.pods = vec![pod("a", "192.0.2.1"), pod("b", "2001:db8::2"), pod("c", "192.0.2.3"), starting];
    }
    let ask: AskPod = Arc::new(|address| {
        Box::pin(async move {
            let active = match address.to_string().as_str() {
                "192.0.2.1" => 3,
                "2001:db8::2" => 5,
                "192.0.2.3" => return None,
                other => panic!("{other} must not be asked"),
            };
            Some(PodFigures { active, capacity: 100, accepting: true, draining: false })
        })
    });
    let (leads, leading) = watch::channel(false);
    let (mut keeper, offers) = Keeper::new(client(&cluster), "ops", "cm", leading);
    keeper.look().await.expect("a certificate");
    let listener = server::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let router = api::router(api::Served::new(client(&cluster), ask));
    tokio::spawn(serve(listener, router, offers, stop.clone()));
    Running { address, cluster, front_proxy, keeper, leads, _stop: stop.drop_guard() }
}

impl Running {
    fn with<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> T {
        act(&mut self.cluster.lock().expect("no test panics in here"))
    }

    fn authorities(&self) -> String {
        let secret = self.with(|cluster| cluster.objects[SECRET].clone());
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(secret["data"]["ca.crt"].as_str().expect("a value"));
        String::from_utf8(bytes.expect("base64")).expect("PEM")
    }

    /// A client that checks the server by its Service's name, with a certificate of its own or none.
    fn http(&self, identity: Option<&str>) -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authorities = reqwest::Certificate::from_pem_bundle(self.authorities().as_bytes()).expect("PEM");
        let mut builder =
            reqwest::Client::builder().no_proxy().tls_certs_only(authorities).resolve(SERVER_NAME, self.address);
        if let Some(pem) = identity {
            builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity"));
        }
        builder.build().expect("a client")
    }

    fn url(&self, path: &str) -> String {
        format!("https://{SERVER_NAME}:{}{path}", self.address.port())
    }

    /// Asks as the aggregator does, on behalf of the autoscaler.
    async fn get(&self, path: &str) -> (u16, Value) {
        let client = self.http(Some(&self.front_proxy.client("front-proxy-client")));
        let request = client.get(self.url(path)).header("X-Remote-User", "hpa").header("X-Remote-Group", "system:a");
        let answer = request.header("X-Remote-Group", "system:b").header("X-Remote-Extra-Scopes", "s").send().await;
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn refused(&self, client: &reqwest::Client) -> u16 {
        let path = self.url(&format!("{BASE}/namespaces/voice/pods/*/sofia_phone_sessions_active"));
        client.get(path).header("X-Remote-User", "hpa").send().await.expect("an answer").status().as_u16()
    }
}

#[tokio::test]
async fn the_values_of_all_selected_pods_are_those_that_they_tell() {
    let running = running().await;
    let path = format!(
        "{BASE}/namespaces/voice/pods/*/sofia_phone_sessions_active?labelSelector=app.kubernetes.io%2Finstance%3Dmain"
    );
    let (status, list) = running.get(&path).await;
    assert_eq!((status, &list["kind"]), (200, &json!("MetricValueList")), "{list}");
    let items = list["items"].as_array().expect("a list");
    let seen: Vec<_> = items.iter().map(|item| (&item["describedObject"]["name"], &item["value"])).collect();
    assert_eq!(seen, [(&json!("a"), &json!("3")), (&json!("b"), &json!("5"))], "c does not answer, d does not run");
    assert_eq!(items[0]["metric"]["name"], "sofia_phone_sessions_active");
    assert_eq!(items[0]["describedObject"]["namespace"], "voice");
    let query = running.with(|cluster| cluster.queries.clone()).concat();
    assert!(query.contains("instance%3Dmain%2C") && query.contains("component%3Ddataplane"), "{query}");
}

#[tokio::test]
async fn a_single_pod_is_looked_for_by_its_name() {
    let running = running().await;
    running.with(|cluster| cluster.pods.truncate(1));
    let (status, list) = running.get(&format!("{BASE}/namespaces/voice/pods/a/sofia_phone_sessions_capacity")).await;
    assert_eq!((status, &list["items"][0]["value"]), (200, &json!("100")));
    assert!(running.with(|cluster| cluster.queries.concat()).contains("fieldSelector=metadata.name%3Da"));

    running.with(|cluster| cluster.pods.clear());
    assert_eq!(running.get(&format!("{BASE}/namespaces/voice/pods/a/sofia_phone_sessions_active")).await.0, 404);
}

#[tokio::test]
async fn a_name_can_not_say_more_than_a_name() {
    let running = running().await;
    let path = format!("{BASE}/namespaces/voice/pods/a,status.phase=Running/sofia_phone_sessions_active");
    assert_eq!(running.get(&path).await.0, 404);
    assert!(running.with(|cluster| cluster.queries.is_empty()));
}

#[tokio::test]
async fn the_value_of_a_trunk_is_the_sum_of_its_pods_or_none_when_one_is_silent() {
    let running = running().await;
    let path = format!("{BASE}/namespaces/voice/voicetrunks.sofia-phone.io/main/sofia_phone_sessions_active");
    let (status, failure) = running.get(&path).await;
    assert_eq!((status, &failure["reason"]), (503, &json!("ServiceUnavailable")));
    running.with(|cluster| cluster.pods.truncate(2));
    let (status, list) = running.get(&path).await;
    assert_eq!((status, &list["items"][0]["value"]), (200, &json!("8")));
    assert_eq!(list["items"][0]["describedObject"]["kind"], "VoiceTrunk");
}

#[tokio::test]
async fn metrics_that_do_not_exist_and_labels_that_they_lack_have_no_values() {
    let running = running().await;
    assert_eq!(running.get(&format!("{BASE}/namespaces/voice/pods/*/cpu")).await.0, 404);
    assert_eq!(running.get(&format!("{BASE}/namespaces/voice/nodes/n/sofia_phone_sessions_active")).await.0, 404);
    let labelled = format!("{BASE}/namespaces/voice/pods/*/sofia_phone_sessions_active?metricLabelSelector=a%3Db");
    assert_eq!(running.get(&labelled).await.1["items"], json!([]));
}

#[tokio::test]
async fn discovery_names_the_group_and_its_resources() {
    let running = running().await;
    assert_eq!(running.get("/apis").await.1["groups"][0]["name"], "custom.metrics.k8s.io");
    assert_eq!(running.get("/apis/custom.metrics.k8s.io").await.1["preferredVersion"]["version"], "v1beta2");
    let (_, list) = running.get(BASE).await;
    assert_eq!(
        (&list["kind"], &list["groupVersion"]),
        (&json!("APIResourceList"), &json!("custom.metrics.k8s.io/v1beta2"))
    );
    assert_eq!(list["resources"][0]["name"], "pods/sofia_phone_sessions_active");
    assert_eq!(running.get("/openapi/v2").await.1["swagger"], "2.0");
    assert_eq!(running.get("/openapi/v3").await.1["paths"], json!({}));
}

#[tokio::test]
async fn who_shows_no_certificate_gets_health_only() {
    let running = running().await;
    let client = running.http(None);
    assert_eq!(running.refused(&client).await, 401);
    assert_eq!(client.get(running.url("/healthz")).send().await.expect("an answer").status(), 200);
    assert!(running.with(|cluster| cluster.reviews.is_empty()), "nobody was asked whether they may");
}

#[tokio::test]
async fn a_certificate_with_another_name_is_refused() {
    let running = running().await;
    let client = running.http(Some(&running.front_proxy.client("someone")));
    assert_eq!(running.refused(&client).await, 401);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let running = running().await;
    let client = running.http(Some(&Authority::new("front-proxy-ca").client("front-proxy-client")));
    let path = running.url(BASE);
    assert!(client.get(path).header("X-Remote-User", "hpa").send().await.is_err());
}

#[tokio::test]
async fn without_a_user_nothing_is_answered() {
    let running = running().await;
    let client = running.http(Some(&running.front_proxy.client("front-proxy-client")));
    assert_eq!(client.get(running.url(BASE)).send().await.expect("an answer").status(), 401);
}

#[tokio::test]
async fn the_api_server_decides_who_may_ask_and_is_asked_once() {
    let running = running().await;
    let path = format!("{BASE}/namespaces/voice/pods/*/sofia_phone_sessions_active");
    running.get(&path).await;
    running.get(&path).await;
    let reviews = running.with(|cluster| std::mem::take(&mut cluster.reviews));
    assert_eq!(reviews.len(), 1, "{reviews:?}");
    let review = &reviews[0];
    assert_eq!((&review["user"], &review["groups"]), (&json!("hpa"), &json!(["system:a", "system:b"])));
    assert_eq!(review["extra"], json!({ "scopes": ["s"] }));
    let expected = json!({
        "group": "custom.metrics.k8s.io", "version": "v1beta2", "namespace": "voice", "resource": "pods", "name": "*",
        "subresource": "sofia_phone_sessions_active", "verb": "get",
    });
    assert_eq!(review["resourceAttributes"], expected);
}

#[tokio::test]
async fn who_may_not_is_refused_before_any_pod_is_asked() {
    let running = running().await;
    running.with(|cluster| cluster.denied = true);
    let (status, failure) = running.get(&format!("{BASE}/namespaces/voice/pods/*/sofia_phone_sessions_active")).await;
    assert_eq!((status, &failure["reason"]), (403, &json!("Forbidden")));
    assert!(failure["message"].as_str().expect("text").contains("\"hpa\" cannot get pods/"), "{failure}");
    assert!(running.with(|cluster| cluster.queries.is_empty()));
    // The API server's own discovery comes as a user whom no role names; without it no namespace could be deleted.
    assert_eq!(running.get("/apis").await.0, 200);
    assert_eq!(running.get(BASE).await.0, 200);
}

#[tokio::test]
async fn a_renewed_certificate_meets_new_connections_and_open_ones_go_on() {
    let mut running = running().await;
    let before = running.with(|cluster| cluster.objects[SECRET]["data"]["tls.crt"].clone());
    let open = running.http(None);
    let health = running.url("/healthz");
    assert_eq!(open.get(&health).send().await.expect("an answer").status(), 200);

    running.keeper = running.keeper.with_clock(|| SystemTime::now() + Duration::from_secs(61 * 24 * 3600));
    running.keeper.look().await.expect("a new certificate");
    let after = running.with(|cluster| cluster.objects[SECRET]["data"]["tls.crt"].clone());
    assert_ne!(before, after);

    let (mut old, mut new) = (Vec::new(), Vec::new());
    for (secret, into) in [(&before, &mut old), (&after, &mut new)] {
        let pem = base64::engine::general_purpose::STANDARD.decode(secret.as_str().expect("a value")).expect("base64");
        use rustls::pki_types::pem::PemObject as _;
        into.extend(rustls::pki_types::CertificateDer::from_pem_slice(&pem).expect("PEM").to_vec());
    }
    assert_eq!(shown(running.address).await, new);
    assert_ne!(shown(running.address).await, old);
    assert_eq!(open.get(&health).send().await.expect("an answer").status(), 200);
}

/// The certificate that a new connection is met with, whatever it is worth.
async fn shown(address: SocketAddr) -> Vec<u8> {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    #[derive(Debug)]
    struct Anyone;

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from(SERVER_NAME).expect("a name");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
}

#[tokio::test]
async fn replicas_share_one_certificate() {
    let running = running().await;
    let (_leads, leading) = watch::channel(false);
    let (mut second, offered) = Keeper::new(client(&running.cluster), "ops", "cm", leading);
    let before = running.with(|cluster| cluster.version);
    second.look().await.expect("the same certificate");
    assert!(offered.borrow().is_some());
    assert_eq!(running.with(|cluster| cluster.version), before, "nothing was written");
}

#[tokio::test]
async fn a_secret_that_was_spoilt_is_made_anew() {
    let mut running = running().await;
    running.with(|cluster| {
        let mut secret = cluster.objects[SECRET].clone();
        secret["data"]["tls.key"] = json!(base64::engine::general_purpose::STANDARD.encode("no key"));
        cluster.store(SECRET.to_owned(), secret);
    });
    running.keeper.look().await.expect("a new certificate");
    assert_eq!(running.get("/apis").await.0, 200);
}

#[tokio::test]
async fn only_the_leader_tells_the_api_server_the_authority_and_only_once() {
    let mut running = running().await;
    running.keeper.look().await.expect("as before");
    assert!(running.with(|cluster| cluster.patches.is_empty()));
    running.leads.send_replace(true);
    running.keeper.look().await.expect("told");
    running.keeper.look().await.expect("known");
    let patches = running.with(|cluster| cluster.patches.clone());
    let expected = base64::engine::general_purpose::STANDARD.encode(running.authorities());
    assert_eq!(patches, [json!({ "spec": { "caBundle": expected } })]);
}

#[tokio::test]
async fn someone_elses_api_service_is_left_alone() {
    let mut running = running().await;
    running.leads.send_replace(true);
    running.with(|cluster| {
        let mut service = cluster.objects[API_SERVICE].clone();
        service["spec"]["service"]["name"] = json!("prometheus-adapter");
        cluster.store(API_SERVICE.to_owned(), service);
    });
    running.keeper.look().await.expect("nothing to do");
    running.with(|cluster| cluster.objects.remove(API_SERVICE));
    running.keeper.look().await.expect("nothing to do");
    assert!(running.with(|cluster| cluster.patches.is_empty()));
}

#[tokio::test]
async fn a_cluster_without_aggregation_is_told_so() {
    let (_leads, leading) = watch::channel(false);
    let (mut keeper, _) = Keeper::new(client(&Arc::default()), "ops", "cm", leading);
    let told = keeper.look().await.expect_err("nothing to know the aggregator by").to_string();
    assert!(told.contains("requestheader-client-ca-file"), "{told}");
}
