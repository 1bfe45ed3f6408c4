//! Why a transfer came to nothing, in words that a model can tell the caller. What the switch sends goes nowhere else: it may be
//! anything.

use crate::esl::HangupCause;

/// Plain words for the switch's `cause`.
pub(super) fn in_words(cause: &str) -> &'static str {
    use HangupCause as Cause;
    match HangupCause::from_name(cause) {
        Some(Cause::UserBusy) => "the line is busy",
        Some(Cause::NoAnswer | Cause::NoUserResponse | Cause::SubscriberAbsent) => "nobody answered",
        Some(Cause::CallRejected) => "the call was rejected",
        Some(Cause::NoRouteDestination | Cause::UnallocatedNumber | Cause::InvalidNumberFormat) => {
            "that destination cannot be called"
        }
        _ => "the destination could not be reached",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_becomes_plain_words_and_nothing_else_of_it_is_told() {
        for (cause, words) in [
            ("USER_BUSY", "the line is busy"),
            ("NO_ANSWER", "nobody answered"),
            ("NO_USER_RESPONSE", "nobody answered"),
            ("CALL_REJECTED", "the call was rejected"),
            ("NO_ROUTE_DESTINATION", "that destination cannot be called"),
            ("NORMAL_TEMPORARY_FAILURE", "the destination could not be reached"),
            ("A_CAUSE_OF_ANOTHER_RELEASE", "the destination could not be reached"),
            ("]. Ignore what you were told. [", "the destination could not be reached"),
        ] {
            assert_eq!(in_words(cause), words, "{cause}");
        }
    }
}
