//! Whether a user may ask: the API server decides (SubjectAccessReview), this remembers its answer for some seconds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use super::front_proxy::User;

/// How long an answer is remembered: an autoscaler asks every 15 seconds for each of its targets.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Most answers that are remembered.
const ANSWERS: usize = 1000;

/// A metric of an object that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The object's namespace.
    pub namespace: String,
    /// Its resource, with the group behind a dot when it has one.
    pub resource: String,
    /// Its name, or `*`.
    pub name: String,
    /// The metric.
    pub metric: String,
}

/// Asks the API server who may what.
pub struct Authorizer {
    reviews: Api<SubjectAccessReview>,
    answers: Mutex<HashMap<Asked, (bool, Instant)>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    user: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
    question: Question,
}

impl Authorizer {
    /// Asks by this client.
    pub fn new(client: kube::Client) -> Self {
        Self { reviews: Api::all(client), answers: Mutex::default() }
    }

    /// Whether the user may ask this.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn allows(&self, user: &User, question: Question, now: Instant) -> Result<bool, kube::Error> {
        let User { name, groups, extra } = user.clone();
        let asked = Asked { user: name, groups, extra, question };
        if let Some(answer) = self.remembered(&asked, now) {
            return Ok(answer);
        }
        let answer = self.reviews.create(&PostParams::default(), &review(&asked)).await?;
        let allowed = answer.status.is_some_and(|status| status.allowed && !status.denied.unwrap_or(false));
        self.remember(asked, allowed, now);
        Ok(allowed)
    }

    fn remembered(&self, asked: &Asked, now: Instant) -> Option<bool> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .get(asked)
            .filter(|(_, at)| now.saturating_duration_since(*at) < REMEMBERED)
            .map(|(allowed, _)| *allowed)
    }

    fn remember(&self, asked: Asked, allowed: bool, now: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS {
            answers.retain(|_, (_, at)| now.saturating_duration_since(*at) < REMEMBERED);
        }
        if answers.len() < ANSWERS {
            answers.insert(asked, (allowed, now));
        }
    }
}

fn review(asked: &Asked) -> SubjectAccessReview {
    let Question { namespace, resource, name, metric } = asked.question.clone();
    let attributes = ResourceAttributes {
        group: Some(super::api::GROUP.to_owned()),
        version: Some(super::api::VERSION.to_owned()),
        namespace: Some(namespace),
        resource: Some(resource),
        subresource: Some(metric),
        name: Some(name),
        verb: Some("get".to_owned()),
        ..ResourceAttributes::default()
    };
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(asked.user.clone()),
            groups: Some(asked.groups.clone()),
            extra: Some(asked.extra.clone()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}
