//! Command line and environment of the operator, checked once at start. Everything that is wrong is told at once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;

use crate::lease::election::Timing;
use crate::release::Release;
use crate::telemetry::checked_filter;

/// Exit status for settings that can't be used: `EX_CONFIG` of sysexits.h.
pub const EX_CONFIG: u8 = 78;

/// Turns VoiceTrunks into FreeSWITCH and fleets of data-plane pods. Runs in the cluster that it looks after, or
/// anywhere with a kubeconfig. Each option can also be set by the environment variable beside it.
#[derive(Clone, Debug, Parser)]
#[command(name = "sofia-operator", version)]
pub struct Arguments {
    /// Namespace in which the operator runs; its Lease is kept there.
    #[arg(long, env = "SOFIA_OPERATOR_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// Name of the operator's own pod, for its Lease and its events.
    #[arg(long, env = "SOFIA_OPERATOR_POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
    /// Labels of the operator's own pods, by which network policies let them reach the data plane.
    #[arg(
        long,
        env = "SOFIA_OPERATOR_POD_LABELS",
        value_name = "KEY=VALUE,…",
        default_value = "app.kubernetes.io/name=sofia-phone-operator"
    )]
    pod_labels: String,
    /// Look after the VoiceTrunks of this namespace only. Left out: of all.
    #[arg(long, env = "SOFIA_OPERATOR_WATCH_NAMESPACE", value_name = "NAME")]
    watch_namespace: Option<String>,
    /// Look after the VoiceTrunks with this value of the label sofia-phone.io/operator-class only. Left out: after those without the
    /// label. Where several operators look at the same namespaces, each needs a class of its own, and a name of its own for its Lease.
    #[arg(long, env = "SOFIA_OPERATOR_CLASS", value_name = "CLASS")]
    class: Option<String>,
    /// Watch nodes, which takes a right in the whole cluster: pods on nodes that are cordoned are drained before they are evicted.
    #[arg(long, env = "SOFIA_OPERATOR_WATCH_NODES", value_name = "true|false", default_value = "true")]
    watch_nodes: String,

    /// Image of the data plane for VoiceTrunks that name none.
    #[arg(long, env = "SOFIA_OPERATOR_DATA_PLANE_IMAGE", value_name = "IMAGE")]
    data_plane_image: Option<String>,
    /// Image of FreeSWITCH for VoiceTrunks that name none.
    #[arg(long, env = "SOFIA_OPERATOR_FREE_SWITCH_IMAGE", value_name = "IMAGE")]
    free_switch_image: Option<String>,
    /// Make NetworkPolicies for the pods of VoiceTrunks.
    #[arg(long, env = "SOFIA_OPERATOR_NETWORK_POLICIES", value_name = "true|false", default_value = "true")]
    network_policies: String,

    /// How often each VoiceTrunk is looked at and its pods are asked for their calls.
    #[arg(long, env = "SOFIA_OPERATOR_INTERVAL_SECONDS", value_name = "SECONDS", default_value = "5")]
    interval_seconds: String,
    /// How often sums of calls alone are written to a VoiceTrunk's status, at most.
    #[arg(long, env = "SOFIA_OPERATOR_STATUS_INTERVAL_SECONDS", value_name = "SECONDS", default_value = "15")]
    status_interval_seconds: String,
    /// VoiceTrunks that are looked at at a time.
    #[arg(long, env = "SOFIA_OPERATOR_CONCURRENCY", value_name = "COUNT", default_value = "16")]
    concurrency: String,

    /// Name of the Lease that one of the operator's replicas holds.
    #[arg(long, env = "SOFIA_OPERATOR_LEASE_NAME", value_name = "NAME", default_value = "sofia-phone-operator")]
    lease_name: String,
    /// How long after the leader's last renewal another replica takes over.
    #[arg(long, env = "SOFIA_OPERATOR_LEASE_SECONDS", value_name = "SECONDS", default_value = "15")]
    lease_seconds: String,
    /// How long after its last renewal a leader ends; less than the lease.
    #[arg(long, env = "SOFIA_OPERATOR_LEASE_RENEW_SECONDS", value_name = "SECONDS", default_value = "10")]
    lease_renew_seconds: String,
    /// Pause between two renewals.
    #[arg(long, env = "SOFIA_OPERATOR_LEASE_RETRY_SECONDS", value_name = "SECONDS", default_value = "2")]
    lease_retry_seconds: String,

    /// Address for /livez, /readyz and /metrics.
    #[arg(long, env = "SOFIA_OPERATOR_LISTEN", value_name = "ADDRESS:PORT", default_value = "[::]:8081")]
    listen: String,
    /// Serve custom.metrics.k8s.io, so that a plain HorizontalPodAutoscaler can follow the calls. A cluster has one
    /// server of that API.
    #[arg(long, env = "SOFIA_OPERATOR_CUSTOM_METRICS", value_name = "true|false", default_value = "false")]
    custom_metrics: String,
    /// Address for custom.metrics.k8s.io.
    #[arg(
        long,
        env = "SOFIA_OPERATOR_CUSTOM_METRICS_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "[::]:8443"
    )]
    custom_metrics_listen: String,
    /// Name of the Service by which the API server reaches it; the certificate is made out to it.
    #[arg(
        long,
        env = "SOFIA_OPERATOR_CUSTOM_METRICS_SERVICE",
        value_name = "NAME",
        default_value = "sofia-phone-custom-metrics"
    )]
    custom_metrics_service: String,

    /// What is logged: error, warn, info, debug or trace, or directives such as info,kube_client=debug.
    #[arg(long, env = "SOFIA_OPERATOR_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// Write the log as JSON.
    #[arg(long, env = "SOFIA_OPERATOR_JSON_LOGS", value_name = "true|false", default_value = "false")]
    json_logs: String,
}

/// Checked settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Images, namespace and labels of the operator.
    pub release: Release,
    /// Name of the operator's own pod.
    pub pod_name: Option<String>,
    /// Namespace whose trunks are looked after; none: all.
    pub watch_namespace: Option<String>,
    /// Class of the trunks that are looked after; none: those without one.
    pub class: Option<String>,
    /// Whether nodes are watched.
    pub watch_nodes: bool,
    /// How often each trunk is looked at.
    pub interval: Duration,
    /// How often sums of calls alone are written to a status, at most.
    pub status_interval: Duration,
    /// Trunks that are looked at at a time.
    pub concurrency: u16,
    /// Name of the Lease.
    pub lease_name: String,
    /// How long what of the election takes.
    pub lease: Timing,
    /// Address for health and metrics.
    pub listen: SocketAddr,
    /// The custom-metrics API, if it is served.
    pub custom_metrics: Option<CustomMetrics>,
    /// Filter of the log.
    pub log_filter: String,
    /// Whether the log is JSON.
    pub json_logs: bool,
}

/// Settings of the custom-metrics API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomMetrics {
    /// Address on which it is served.
    pub listen: SocketAddr,
    /// Name of its Service in the operator's namespace.
    pub service: String,
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSettings(Vec<String>);

impl std::error::Error for BadSettings {}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings can't be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl Arguments {
    /// Checks all settings.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn check(self) -> Result<Settings, BadSettings> {
        let mut check = Check::default();
        let seconds = |check: &mut Check, option, text: &str, from, to| {
            Duration::from_secs(check.number(option, text, from, to, "seconds"))
        };
        let lease = Timing {
            lease_duration: seconds(&mut check, "lease-seconds", &self.lease_seconds, 1, 3600),
            renew_deadline: seconds(&mut check, "lease-renew-seconds", &self.lease_renew_seconds, 1, 3600),
            retry_period: seconds(&mut check, "lease-retry-seconds", &self.lease_retry_seconds, 1, 3600),
        };
        if let (true, Err(error)) = (check.0.is_empty(), lease.checked()) {
            check.wrong("lease-seconds", &error.to_string());
        }
        let custom_metrics = check.flag("custom-metrics", &self.custom_metrics);
        let custom_metrics_listen = check.address("custom-metrics-listen", &self.custom_metrics_listen);
        if let Err(error) = checked_filter(&self.log_level) {
            check.wrong("log-level", &format!("expected a level or directives, came {:?}: {error}", self.log_level));
        }
        let settings = Settings {
            release: Release {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                data_plane_image: check.required("data-plane-image", self.data_plane_image),
                free_switch_image: check.required("free-switch-image", self.free_switch_image),
                operator_namespace: check.required("namespace", self.namespace),
                operator_labels: check.labels("pod-labels", &self.pod_labels),
                network_policies: check.flag("network-policies", &self.network_policies),
            },
            pod_name: self.pod_name.filter(|name| !name.is_empty()),
            watch_namespace: self.watch_namespace.filter(|name| !name.is_empty()),
            class: check.label("class", self.class),
            watch_nodes: check.flag("watch-nodes", &self.watch_nodes),
            interval: seconds(&mut check, "interval-seconds", &self.interval_seconds, 1, 300),
            status_interval: seconds(&mut check, "status-interval-seconds", &self.status_interval_seconds, 1, 3600),
            concurrency: check.number("concurrency", &self.concurrency, 1, 1000, "VoiceTrunks at a time"),
            lease_name: check.required("lease-name", Some(self.lease_name)),
            lease,
            listen: check.address("listen", &self.listen),
            custom_metrics: custom_metrics.then(|| CustomMetrics {
                listen: custom_metrics_listen,
                service: check.required("custom-metrics-service", Some(self.custom_metrics_service)),
            }),
            log_filter: self.log_level,
            json_logs: check.flag("json-logs", &self.json_logs),
        };
        if check.0.is_empty() { Ok(settings) } else { Err(BadSettings(check.0)) }
    }
}

/// Collects what is wrong; what can't be read becomes something harmless, since nothing of it is used then.
#[derive(Default)]
struct Check(Vec<String>);

impl Check {
    fn wrong(&mut self, option: &str, why: &str) {
        let variable = option.replace('-', "_").to_uppercase();
        self.0.push(format!("--{option} (SOFIA_OPERATOR_{variable}): {why}"));
    }

    fn required(&mut self, option: &str, value: Option<String>) -> String {
        let value = value.unwrap_or_default();
        if value.is_empty() || value.chars().any(char::is_whitespace) {
            self.wrong(option, &format!("expected a name without blanks, came {value:?}"));
        }
        value
    }

    /// A value that a label may have; none when it is empty.
    fn label(&mut self, option: &str, value: Option<String>) -> Option<String> {
        let value = value.filter(|value| !value.is_empty())?;
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let edge = |at: Option<u8>| at.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let (first, last) = (value.bytes().next(), value.bytes().last());
        if value.len() > 63 || !edge(first) || !edge(last) || !value.bytes().all(inner) {
            self.wrong(option, &format!("expected the value of a label, such as team-a, came {value:?}"));
        }
        Some(value)
    }

    fn flag(&mut self, option: &str, text: &str) -> bool {
        match text.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.wrong(option, &format!("expected true or false, came {text:?}"));
                false
            }
        }
    }

    fn number<T>(&mut self, option: &str, text: &str, from: T, to: T, what: &str) -> T
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        match text.parse() {
            Ok(number) if (from..=to).contains(&number) => number,
            _ => {
                self.wrong(option, &format!("expected {from} to {to} {what}, came {text:?}"));
                from
            }
        }
    }

    fn address(&mut self, option: &str, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            self.wrong(
                option,
                &format!("expected an IP address and a port, such as [::]:8081 or 0.0.0.0:8081, came {text:?}"),
            );
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn labels(&mut self, option: &str, text: &str) -> BTreeMap<String, String> {
        let pairs: Option<BTreeMap<_, _>> = text
            .split(',')
            .map(|pair| pair.trim().split_once('=').filter(|(key, _)| !key.is_empty()))
            .map(|pair| pair.map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect();
        pairs.unwrap_or_else(|| {
            self.wrong(option, &format!("expected labels such as app=operator,tier=control, came {text:?}"));
            BTreeMap::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(more: &[&str]) -> Result<Settings, BadSettings> {
        let least = ["sofia-operator", "--namespace=ops", "--data-plane-image=dp:1", "--free-switch-image=fs:1"];
        Arguments::try_parse_from(least.iter().chain(more)).expect("known options").check()
    }

    fn problems(more: &[&str]) -> Vec<String> {
        parse(more).expect_err("something is wrong").0
    }

    #[test]
    fn images_and_namespace_are_enough() {
        let settings = parse(&[]).expect("usable");
        assert_eq!(settings.release.data_plane_image, "dp:1");
        assert_eq!(settings.release.operator_namespace, "ops");
        assert!(settings.release.network_policies);
        let label = settings.release.operator_labels.get("app.kubernetes.io/name").map(String::as_str);
        assert_eq!(label, Some("sofia-phone-operator"));
        assert_eq!((settings.watch_namespace, settings.custom_metrics), (None, None));
        assert_eq!(settings.listen.port(), 8081);
        assert_eq!(settings.lease.lease_duration, Duration::from_secs(15));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_option_and_variable() {
        let arguments =
            Arguments::try_parse_from(["sofia-operator", "--interval-seconds=0", "--listen=x", "--json-logs=perhaps"]);
        let told = arguments.expect("known options").check().expect_err("wrong").to_string();
        for option in ["data-plane-image", "free-switch-image", "namespace", "interval-seconds", "listen", "json-logs"]
        {
            assert!(told.contains(&format!("--{option} (")), "{option} in {told}");
        }
        assert!(told.contains("SOFIA_OPERATOR_INTERVAL_SECONDS"), "{told}");
    }

    #[test]
    fn a_lease_that_lets_two_lead_is_refused() {
        let told = problems(&["--lease-seconds=10", "--lease-renew-seconds=10"]);
        assert!(told.len() == 1 && told[0].contains("renew deadline shorter"), "{told:?}");
    }

    #[test]
    fn empty_variables_of_optional_settings_count_as_left_out() {
        assert_eq!(parse(&["--watch-namespace=", "--pod-name="]).expect("usable").watch_namespace, None);
    }

    #[test]
    fn custom_metrics_are_off_unless_asked_for() {
        let settings = parse(&["--custom-metrics=true", "--custom-metrics-service=cm"]).expect("usable");
        let custom = settings.custom_metrics.expect("on");
        assert_eq!((custom.listen.port(), custom.service.as_str()), (8443, "cm"));
    }

    #[test]
    fn a_class_is_the_value_of_a_label() {
        assert_eq!(parse(&["--class=team-a"]).expect("usable").class.as_deref(), Some("team-a"));
        assert_eq!(parse(&["--class="]).expect("usable").class, None);
        for wrong in ["a,b", "-a", "a b", "!x", &"a".repeat(64)] {
            assert!(problems(&[&format!("--class={wrong}")])[0].contains("SOFIA_OPERATOR_CLASS"), "{wrong}");
        }
    }

    #[test]
    fn labels_are_pairs() {
        let labels = parse(&["--pod-labels=a=1, b=2"]).expect("usable").release.operator_labels;
        assert_eq!(labels, [("a", "1"), ("b", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert_eq!(problems(&["--pod-labels=nothing"]).len(), 1);
    }

    #[test]
    fn a_filter_that_does_not_parse_is_refused() {
        assert!(problems(&["--log-level=info,=x=y"])[0].contains("log-level"));
    }

    #[test]
    fn every_option_has_help_and_its_own_variable() {
        let command = Arguments::command();
        for argument in command.get_arguments().filter(|argument| argument.get_long().is_some()) {
            let option = argument.get_long().expect("filtered");
            if matches!(option, "help" | "version") {
                continue;
            }
            let variable = argument.get_env().and_then(|name| name.to_str()).expect("a variable");
            assert_eq!(variable, format!("SOFIA_OPERATOR_{}", option.replace('-', "_").to_uppercase()));
            assert!(argument.get_help().is_some(), "{option}");
        }
    }
}
