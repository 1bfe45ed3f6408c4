//! What becomes of the caller's shortest words and of what is none.

use super::*;

/// So much of a voice, at its loudest, with quiet before and behind it.
fn piece(length: Duration) -> Vec<i16> {
    let wanted = SampleRate::Hz16000.samples(length);
    let voice = voice("go_forward.wav");
    let loudness = |part: &[i16]| part.iter().map(|sample| i64::from(*sample).pow(2)).sum::<i64>();
    let loudest = voice.windows(wanted).step_by(160).max_by_key(|part| loudness(part)).expect("a long recording");
    let quiet = vec![0; 16_000];
    [&quiet[..], loudest, &quiet, &quiet].concat()
}

fn hear(samples: &[i16], answer_expected: bool) -> Simulation {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    let media = simulation.media.clone();
    simulation.instruct(Instruction::ExpectAnswer(answer_expected));
    simulation.arrive(far_speech(&media, 0, Duration::ZERO, samples));
    simulation.run_until(ms(3_000));
    simulation
}

fn utterances(simulation: &Simulation) -> usize {
    simulation.told(|event| matches!(event, MediaEvent::Utterance(_)).then_some(())).len()
}

#[test]
fn a_very_short_word_is_heard_where_an_answer_is_expected() {
    for length in [150, 190, 230] {
        assert_eq!(utterances(&hear(&piece(ms(length)), true)), 1, "{length} ms");
    }
    assert_eq!(utterances(&hear(&piece(ms(190)), false)), 0);
}

#[test]
fn a_click_is_no_answer_even_where_one_is_expected() {
    assert_eq!(utterances(&hear(&piece(ms(20)), true)), 0);
}

#[test]
fn something_short_is_told_to_falter_before_it_is_told_to_be_nothing() {
    let simulation = hear(&piece(ms(120)), false);
    let faltered = simulation.told(|event| matches!(event, MediaEvent::SpeechFaltered).then_some(()));
    let discarded = simulation.told(|event| matches!(event, MediaEvent::SpeechDiscarded { .. }).then_some(()));
    let ([(faltered, ())], [(discarded, ())]) = (&faltered[..], &discarded[..]) else {
        panic!("{:?}", simulation.told)
    };
    assert!(*discarded >= *faltered + ms(350), "{faltered:?} {discarded:?}");
}

#[test]
fn what_is_being_said_is_handed_over_on_demand_and_goes_on() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    let media = simulation.media.clone();
    let glimpses = |simulation: &Simulation| {
        simulation.told(|event| if let MediaEvent::Glimpse(part) = event { Some(part.pcm.len()) } else { None })
    };
    simulation.instruct(Instruction::Glimpse);
    let speech = [&voice("more_respectable.wav")[..], &[0; 32_000]].concat();
    simulation.arrive(far_speech(&media, 0, ms(500), &speech));
    simulation.run_until(ms(400));
    simulation.instruct(Instruction::Glimpse);
    assert!(glimpses(&simulation).is_empty(), "nobody speaks");
    simulation.run_until(ms(3_000));
    simulation.instruct(Instruction::Glimpse);
    let [(_, length)] = glimpses(&simulation)[..] else { panic!("{:?}", simulation.told) };
    assert!((8_000..=16 * 2_900).contains(&length), "{length}");
    simulation.run_until(ms(9_500));
    let whole =
        simulation.told(|event| if let MediaEvent::Utterance(whole) = event { Some(whole.pcm.len()) } else { None });
    assert!(whole.iter().map(|(_, length)| *length).sum::<usize>() > length, "{whole:?}");
}
