//! The names of a trunk's objects, all beginning with the trunk's own, and the names of ports and keys in them. A trunk's name has at
//! most 40 characters, so that every name fits into 63.

/// Name of FreeSWITCH's Deployment, Service, ServiceAccount, budget and policy.
pub fn free_switch(trunk: &str) -> String {
    format!("{trunk}-freeswitch")
}

/// Name of the Secret with FreeSWITCH's configuration: `freeswitch.xml` and `fs_cli.conf`.
pub fn free_switch_config(trunk: &str) -> String {
    format!("{trunk}-freeswitch-config")
}

/// Name of the data plane's Deployment, ServiceAccount, budget, policy and autoscaler.
pub fn data_plane(trunk: &str) -> String {
    format!("{trunk}-dataplane")
}

/// Name of the Service at which FreeSWITCH finds the data plane, and of the Secret with the token that it presents.
pub fn esl(trunk: &str) -> String {
    format!("{trunk}-esl")
}

/// Name of the Service at which FreeSWITCH finds a pod for a caller whose pod was lost.
pub fn takeover(trunk: &str) -> String {
    format!("{trunk}-takeover")
}

/// Name of the headless Service with every data-plane pod, ready or not.
pub fn pods(trunk: &str) -> String {
    format!("{trunk}-pods")
}

/// Name of the Secret with the tokens that the operator makes for itself: the pods' admin token, the event socket's password.
pub fn internal(trunk: &str) -> String {
    format!("{trunk}-internal")
}

/// Name of the Secret and ConfigMap with what an external FreeSWITCH needs.
pub fn external(trunk: &str) -> String {
    format!("{trunk}-external-freeswitch")
}

/// TCP port of the pods' ESL listener.
pub const ESL_PORT: u16 = 8084;
/// TCP port of the pods' admin HTTP.
pub const ADMIN_PORT: u16 = 8080;
/// Name of that port in the pods.
pub const ADMIN_PORT_NAME: &str = "admin";
/// UDP port of the pods' first media worker; worker n has this port + 2 n.
pub const RTP_START_PORT: u16 = 16384;
/// Media workers that a pod may have at most: bounds the ports that network policies open.
pub const RTP_WORKERS_MAX: u16 = 64;

/// Key of the token in the Secret [`esl`] and of the pods' admin token in [`internal`].
pub const TOKEN_KEY: &str = "token";
/// Key of the pods' admin token in the Secret [`internal`].
pub const ADMIN_TOKEN_KEY: &str = "admin-token";
/// Key of the event socket's password in the Secret [`internal`].
pub const EVENT_SOCKET_KEY: &str = "event-socket-password";
/// Key of FreeSWITCH's configuration in the Secret [`free_switch_config`].
pub const FREE_SWITCH_XML_KEY: &str = "freeswitch.xml";
/// Key of `fs_cli`'s configuration in the Secret [`free_switch_config`].
pub const FS_CLI_KEY: &str = "fs_cli.conf";

/// Key of what to do with the rest in the ConfigMap [`external`].
pub const README_KEY: &str = "README";
/// Key of the ESL Service's host in the ConfigMap [`external`].
pub const ESL_HOST_KEY: &str = "esl-host";
/// Key of the ESL Service's port in the ConfigMap [`external`].
pub const ESL_PORT_KEY: &str = "esl-port";
/// Key of the name of the Secret with the token in the ConfigMap [`external`].
pub const TOKEN_SECRET_KEY: &str = "token-secret";
/// Key of the token's key in that Secret in the ConfigMap [`external`].
pub const TOKEN_SECRET_KEY_KEY: &str = "token-secret-key";
