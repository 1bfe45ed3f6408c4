//! FreeSWITCH's XML dialplan: finds the actions of a call in a context. Never executes one; legs do, each its own way.

mod expand;
mod strings;

pub(crate) use expand::expand;
pub(crate) use strings::{DialString, TransferTo, dial_string, playback, socket_targets, transfer_to};

use crate::channel::Channel;
use crate::config::{Action, Break, Condition, Dialplan};

/// The actions of every extension of `context` that matches, in order, with `$1` filled in and `${name}` still to be expanded
/// when the action runs. As in FreeSWITCH, all conditions are looked at before the first action runs; only `inline` actions
/// (which `inline` executes) come before. `None` if nothing matched.
pub(crate) fn hunt(
    dialplan: &Dialplan,
    channel: &mut Channel,
    context: &str,
    mut inline: impl FnMut(&mut Channel, &Action),
) -> Option<Vec<Action>> {
    let mut actions = Vec::new();
    let mut matched = false;
    for extension in dialplan.extensions(context) {
        let mut all_true = true;
        let (mut any_taken, mut anti_taken) = (false, false);
        for condition in &extension.conditions {
            let captures = test(condition, channel);
            let chosen = if captures.is_some() { &condition.actions } else { &condition.anti_actions };
            if let Some(captures) = &captures {
                set_matches(channel, captures);
            }
            for action in chosen {
                any_taken = true;
                anti_taken |= captures.is_none();
                let action = Action {
                    data: substitute(&action.data, captures.as_deref().unwrap_or_default()),
                    ..action.clone()
                };
                if action.inline {
                    inline(channel, &action);
                } else {
                    actions.push(action);
                }
            }
            let is_true = captures.is_some();
            all_true &= is_true || condition.on == Break::Never || condition.on == Break::OnTrue;
            let stop = match condition.on {
                Break::OnFalse => !is_true,
                Break::OnTrue => is_true,
                Break::Always => true,
                Break::Never => false,
            };
            if stop {
                break;
            }
        }
        if any_taken && (all_true || anti_taken) {
            matched = true;
            tracing::debug!(extension = extension.name, context, "extension matched");
            if !extension.continues {
                break;
            }
        }
    }
    matched.then_some(actions)
}

/// `set`: `name=value`, expanded now. `_undef_` removes.
pub(crate) fn set(channel: &mut Channel, data: &str) {
    let data = expand(data, channel);
    if let Some((name, value)) = data.split_once('=') {
        let value = if value == "_undef_" { "" } else { value };
        channel.variables.set(name.trim(), value);
    }
}

/// The prefix of an exported variable that is not for the channel itself.
const NOT_HERE: &str = "nolocal:";

/// `export`: [`set`], and legs that this channel calls get it too.
pub(crate) fn export(channel: &mut Channel, data: &str) {
    set(channel, data);
    let Some((name, _)) = data.split_once('=') else { return };
    let name = expand(name, channel);
    let name = name.trim().strip_prefix(NOT_HERE).unwrap_or(name.trim());
    let mut names: Vec<&str> = channel.variables.get("export_vars").map_or(vec![], |names| names.split(',').collect());
    if !names.contains(&name) {
        names.push(name);
        let names = names.join(",");
        channel.variables.set("export_vars", names);
    }
}

/// What [`export`] put aside for the legs that the channel calls, by name and value.
pub(crate) fn exported(channel: &Channel) -> Vec<(String, String)> {
    let names = channel.variables.get("export_vars").unwrap_or_default().split(',');
    let value = |name: &str| {
        let variables = &channel.variables;
        let value = variables.get(&format!("{NOT_HERE}{name}")).or_else(|| variables.get(name))?;
        Some((name.to_owned(), value.to_owned()))
    };
    names.filter_map(value).collect()
}

/// The groups of the condition's match, the whole match first; `None` if it is false.
fn test(condition: &Condition, channel: &Channel) -> Option<Vec<String>> {
    let value = if condition.field.is_empty() {
        String::new()
    } else if condition.field.contains("${") {
        expand(&condition.field, channel)
    } else {
        channel.lookup(&condition.field).unwrap_or_default().into_owned()
    };
    let captures = condition.expression.captures(&value)?;
    Some(captures.iter().map(|group| group.map_or_else(String::new, |group| group.as_str().to_owned())).collect())
}

fn set_matches(channel: &mut Channel, captures: &[String]) {
    channel.variables.set("DP_MATCH", format!("ARRAY::{}", captures.join("|:")));
}

/// Replaces `$0` to `$9` by the groups; a group that is not there becomes nothing.
fn substitute(data: &str, groups: &[String]) -> String {
    let mut out = String::with_capacity(data.len());
    let mut characters = data.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek().and_then(|next| next.to_digit(10))) {
            ('$', Some(digit)) => {
                characters.next();
                out.push_str(groups.get(digit as usize).map_or("", String::as_str));
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::{Config, LocalAddresses};

    fn config(extensions: &str) -> Config {
        let xml = format!(
            r#"<document><section name="configuration">
            <configuration name="modules.conf"><modules><load module="mod_event_socket"/><load module="mod_sofia"/>
              <load module="mod_commands"/><load module="mod_dptools"/><load module="mod_dialplan_xml"/></modules></configuration>
            <configuration name="switch.conf"/><configuration name="sofia.conf"/></section>
            <section name="dialplan"><context name="c">{extensions}</context></section></document>"#
        );
        Config::parse(&xml, &HashMap::new(), LocalAddresses::LOOPBACK).unwrap()
    }

    fn hunted(extensions: &str, channel: &mut Channel) -> Option<Vec<(String, String)>> {
        let inline = |channel: &mut Channel, action: &Action| {
            let (name, value) = action.data.split_once('=').unwrap();
            channel.variables.set(name, value);
        };
        let actions = hunt(&config(extensions).dialplan, channel, "c", inline)?;
        Some(actions.into_iter().map(|action| (action.application, action.data)).collect())
    }

    fn channel(destination: &str) -> Channel {
        Channel::new("u", "sofia/edge/x".to_owned(), "+1555", "Ann", destination, "c")
    }

    fn pair(application: &str, data: &str) -> (String, String) {
        (application.to_owned(), data.to_owned())
    }

    #[test]
    fn the_first_matching_extension_wins_and_groups_are_filled_in() {
        let extensions = r#"
            <extension name="no"><condition field="destination_number" expression="^9$"><action application="echo"/></condition></extension>
            <extension name="yes"><condition field="destination_number" expression="^(\d\d)(\d*)$">
              <action application="set" data="a=$2-$1-$3-${b}"/></condition></extension>
            <extension name="late"><condition><action application="hangup"/></condition></extension>"#;
        assert_eq!(hunted(extensions, &mut channel("1234")).unwrap(), [pair("set", "a=34-12--${b}")]);
        assert_eq!(hunted(extensions, &mut channel("x")).unwrap(), [pair("hangup", "")]);
    }

    #[test]
    fn all_conditions_must_hold_unless_told_otherwise() {
        let two = |on: &str| {
            format!(
                r#"<extension name="e"><condition field="destination_number" expression="^1" {on}/>
                <condition field="caller_id_name" expression="Ann"><action application="answer"/></condition></extension>"#
            )
        };
        assert!(hunted(&two(""), &mut channel("2")).is_none());
        assert!(hunted(&two(""), &mut channel("1")).is_some());
        assert!(hunted(&two(r#"break="never""#), &mut channel("2")).is_some());
        assert!(hunted(&two(r#"break="on-true""#), &mut channel("1")).is_none());
    }

    #[test]
    fn an_anti_action_is_taken_when_the_condition_is_false() {
        let extensions = r#"<extension name="e"><condition field="destination_number" expression="^1">
            <action application="answer"/><anti-action application="hangup" data="USER_BUSY"/></condition></extension>"#;
        assert_eq!(hunted(extensions, &mut channel("2")).unwrap(), [pair("hangup", "USER_BUSY")]);
    }

    #[test]
    fn an_inline_action_is_seen_by_the_next_condition() {
        let set = |inline: &str| {
            format!(
                r#"<extension name="a" continue="true"><condition><action application="set" data="x=1" {inline}/></condition></extension>
                <extension name="b"><condition field="${{x}}" expression="^1$"><action application="answer"/></condition></extension>"#
            )
        };
        assert_eq!(hunted(&set(r#"inline="true""#), &mut channel("2")).unwrap(), [pair("answer", "")]);
        assert_eq!(hunted(&set(""), &mut channel("2")).unwrap(), [pair("set", "x=1")], "set runs later");
    }

    #[test]
    fn what_is_exported_is_for_the_legs_that_are_called() {
        let mut channel = channel("1");
        export(&mut channel, "sip_h_X-Number=${destination_number}");
        export(&mut channel, "nolocal:sip_h_X-Secret=s=1");
        set(&mut channel, "own=1");
        assert_eq!(exported(&channel), [pair("sip_h_X-Number", "1"), pair("sip_h_X-Secret", "s=1")]);
        assert_eq!(channel.variables.get("sip_h_X-Number"), Some("1"));
        assert_eq!(channel.variables.get("sip_h_X-Secret"), None);
        set(&mut channel, "sip_h_X-Number=_undef_");
        assert_eq!(exported(&channel), [pair("sip_h_X-Secret", "s=1")]);
    }

    #[test]
    fn matches_are_kept_as_freeswitch_keeps_them() {
        let mut channel = channel("15550100");
        hunted(
            r#"<extension name="e"><condition field="destination_number" expression="^(.*)$"><action application="answer"/></condition></extension>"#,
            &mut channel,
        );
        assert_eq!(channel.variables.get("DP_MATCH"), Some("ARRAY::15550100|:15550100"));
    }
}
