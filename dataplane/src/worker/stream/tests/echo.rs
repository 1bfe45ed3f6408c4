//! A telephone that sends the agent's own voice back, and the callers behind it, with a whole stream in virtual time.

use super::*;
use crate::audio::pcm;

const RATE: usize = 8_000;
/// Ten milliseconds.
const PIECE: usize = RATE / 100;

/// The way from the caller's loudspeaker to their microphone.
#[derive(Debug, Clone, Copy)]
struct Room {
    delay: Duration,
    /// How much weaker than what was sent it comes back.
    loss_db: f32,
    /// The time in which its sound fades by 60 dB; zero for none that goes on.
    reverberation: Duration,
    /// Whether the loudspeaker is driven beyond what it can do.
    distorted: bool,
    /// When the loudspeaker is switched on.
    on_at: Duration,
}

impl Room {
    const fn plain(delay: Duration, loss_db: f32) -> Self {
        Self { delay, loss_db, reverberation: Duration::ZERO, distorted: false, on_at: Duration::ZERO }
    }
}

/// What a room makes of the samples that come out of the loudspeaker.
struct Acoustics {
    gain: f32,
    distorted: bool,
    combs: Vec<(VecDeque<f32>, f32)>,
}

impl Acoustics {
    fn new(room: Room) -> Self {
        let seconds = room.reverberation.as_secs_f32();
        let comb = |millis: usize| {
            let length = RATE * millis / 1_000;
            let kept = if seconds > 0.0 { 10_f32.powf(-3.0 * millis as f32 / 1_000.0 / seconds) } else { 0.0 };
            (VecDeque::from(vec![0.0; length]), kept)
        };
        Self {
            gain: pcm::amplitude(-room.loss_db),
            distorted: room.distorted,
            combs: if seconds > 0.0 { [29, 37, 41, 53].map(comb).into() } else { Vec::new() },
        }
    }

    fn sound(&mut self, sample: f32) -> f32 {
        // As loud as before where speech is at -20 dBFS.
        let sample = if self.distorted { (12.0 * sample).tanh() / 6.5 } else { sample };
        let mut sum = sample;
        for (line, kept) in &mut self.combs {
            let late = line.pop_front().unwrap_or_default() * *kept;
            line.push_back(sample + late);
            sum += late * 0.5;
        }
        sum * self.gain
    }
}

/// What happened in a call on such a telephone.
#[derive(Debug, Default)]
struct Outcome {
    /// When the agent was interrupted.
    interruptions: Vec<Duration>,
    /// When utterances ended that would have been answered.
    utterances: Vec<Duration>,
}

struct Telephone {
    room: Option<Room>,
    /// Which words the agent says, from the start and for nine seconds.
    seed: usize,
    /// What the caller says, 8 kHz, and when it begins.
    caller: Vec<f32>,
    from: Duration,
    noise_dbfs: f32,
    guard: bool,
    codec: Codec,
    ptime_ms: u32,
}

impl Telephone {
    fn new(room: Option<Room>, seed: usize) -> Self {
        let (from, noise_dbfs) = (Duration::ZERO, -62.0);
        Self { room, seed, caller: Vec::new(), from, noise_dbfs, guard: true, codec: Codec::Pcmu, ptime_ms: 20 }
    }

    fn call(&self, length: Duration) -> Outcome {
        let mut simulation = Simulation::conversation(self.codec, self.ptime_ms);
        if !self.guard {
            simulation.stream.echo = None;
        }
        let media = simulation.media.clone();
        simulation.play(1, SampleRate::Hz16000, &agent(self.seed));
        let (mut played, mut taken): (Vec<f32>, usize) = (Vec::new(), 0);
        let (mut decoder, mut encoder) = (Decoder::new(self.codec), Encoder::new(self.codec));
        let mut acoustics = self.room.map(Acoustics::new);
        let mut random = (self.seed as u32).wrapping_mul(2_654_435_761) | 1;
        let mut outcome = Outcome::default();
        let (mut paused, mut told) = (false, 0);
        let ptime = media.ptime();
        let samples = |time: Duration| time.as_millis() as usize * RATE / 1_000;
        let at_of = |signal: &[f32], at: usize, delay: Duration| {
            at.checked_sub(samples(delay)).and_then(|at| signal.get(at)).copied().unwrap_or(0.0)
        };
        for index in 0..(length.as_millis() / ptime.as_millis()) as u32 {
            simulation.run_until(ptime * index);
            for packet in &simulation.sent[taken..] {
                decoder.decode(&packet.payload, &mut played);
            }
            taken = simulation.sent.len();
            let packet = samples(ptime);
            let mut heard = Vec::with_capacity(packet);
            for at in index as usize * packet..(index as usize + 1) * packet {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                let noise = (random as f32 / u32::MAX as f32 - 0.5) * 3.46 * pcm::amplitude(self.noise_dbfs);
                let echo = match (self.room, &mut acoustics) {
                    (Some(room), Some(acoustics)) if at >= samples(room.on_at) => {
                        acoustics.sound(at_of(&played, at, room.delay))
                    }
                    _ => 0.0,
                };
                heard.push((noise + at_of(&self.caller, at, self.from) + echo).clamp(-1.0, 1.0));
            }
            let mut payload = Vec::new();
            encoder.encode(&heard, &mut payload);
            simulation.arrive([(ptime * index + ms(1), far_packet(&media, index, &payload))]);
            let mut resume = false;
            for (at, event) in &simulation.told[told..] {
                match event {
                    MediaEvent::BargeIn { .. } => {
                        outcome.interruptions.push(*at);
                        paused = true;
                    }
                    MediaEvent::Utterance(_) => {
                        outcome.utterances.push(*at);
                        resume |= std::mem::take(&mut paused);
                    }
                    MediaEvent::SpeechDiscarded { .. } => resume |= std::mem::take(&mut paused),
                    _ => {}
                }
            }
            told = simulation.told.len();
            if resume {
                simulation.instruct(Instruction::Resume);
            }
        }
        outcome
    }
}

const VOICES: [&str; 7] = [
    "more_respectable.wav",
    "go_forward.wav",
    "amiable_woman.wav",
    "go_somewhere.wav",
    "queen_of_clubs.wav",
    "seven_of_clubs.wav",
    "five_five.wav",
];

/// Nine seconds of an agent's speech, other words for each seed.
fn agent(seed: usize) -> Vec<i16> {
    let mut samples = Vec::new();
    for index in 0.. {
        samples.extend(voice(VOICES[(seed * 3 + index * (1 + seed % 2)) % VOICES.len()]));
        if samples.len() >= 9 * 16_000 {
            break;
        }
    }
    samples.truncate(9 * 16_000);
    samples
}

/// A recording at 8 kHz, its speech at `dbfs`.
fn caller(file: &str, dbfs: f32) -> Vec<f32> {
    let (mut wide, mut narrow) = (Vec::new(), Vec::new());
    pcm::to_f32(&voice(file), &mut wide);
    crate::audio::Resampler::new(SampleRate::Hz16000, SampleRate::Hz8000).process(&wide, &mut narrow);
    let powers: Vec<f32> = narrow.chunks_exact(PIECE).map(|frame| pcm::dot(frame, frame) / PIECE as f32).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let speech: Vec<f32> = powers.iter().copied().filter(|power| *power > loudest * 0.01).collect();
    let level = pcm::mean_square_dbfs(speech.iter().sum::<f32>() / speech.len() as f32);
    let gain = pcm::amplitude(dbfs - level);
    // From the first sound on.
    let begins = powers.iter().position(|power| *power > loudest * 0.01).unwrap_or(0) * PIECE;
    narrow[begins..].iter().map(|sample| sample * gain).collect()
}

/// How long after `from` the agent was interrupted by somebody who speaks at `dbfs`.
fn interrupted_after(room: Option<Room>, seed: usize, dbfs: f32, from: Duration, guard: bool) -> Option<Duration> {
    let caller = caller(VOICES[(seed + 3) % VOICES.len()], dbfs);
    let telephone = Telephone { caller, from, guard, ..Telephone::new(room, seed) };
    let outcome = telephone.call(from + ms(2_500));
    outcome.interruptions.into_iter().find(|at| *at >= from).map(|at| at - from)
}

#[test]
fn an_agent_that_hears_itself_interrupts_and_answers_itself_without_the_guard() {
    for loss_db in [35.0, 25.0] {
        let telephone = Telephone { guard: false, ..Telephone::new(Some(Room::plain(ms(120), loss_db)), 1) };
        let outcome = telephone.call(ms(11_000));
        assert!(outcome.interruptions.len() >= 3 && outcome.utterances.len() >= 2, "{outcome:?}");
    }
}

#[test]
fn an_agent_neither_interrupts_nor_answers_itself_whose_voice_comes_back_25_db_weaker() {
    for loss_db in [35.0, 30.0, 25.0] {
        for (reverberation, distorted) in [(0, false), (500, false), (1_000, false), (500, true)] {
            for delay in [40, 120, 250, 400] {
                for seed in 0..4 {
                    let reverberation = ms(reverberation);
                    let room = Room { reverberation, distorted, ..Room::plain(ms(delay), loss_db) };
                    // Two seconds more than it speaks: its last words come back, too.
                    let outcome = Telephone::new(Some(room), seed).call(ms(11_000));
                    let quiet = outcome.interruptions.is_empty() && outcome.utterances.is_empty();
                    assert!(quiet, "{seed} {room:?}: {outcome:?}");
                }
            }
        }
    }
}

#[test]
fn an_echo_20_db_weaker_is_held_off_in_a_room_that_is_no_hall() {
    for delay in [40, 120, 250, 400] {
        for seed in 0..4 {
            let room = Room { reverberation: ms(300), ..Room::plain(ms(delay), 20.0) };
            let outcome = Telephone::new(Some(room), seed).call(ms(11_000));
            assert!(outcome.interruptions.is_empty() && outcome.utterances.is_empty(), "{seed} {room:?}: {outcome:?}");
        }
    }
}

#[test]
fn an_echo_is_told_whatever_the_packets_and_the_noise() {
    let room = Some(Room { reverberation: ms(300), ..Room::plain(ms(120), 25.0) });
    for (codec, ptime_ms, noise_dbfs) in
        [(Codec::Pcma, 10, -62.0), (Codec::Pcma, 40, -62.0), (Codec::Pcmu, 60, -62.0), (Codec::Pcmu, 20, -50.0)]
    {
        for seed in 0..3 {
            let telephone = Telephone { codec, ptime_ms, noise_dbfs, ..Telephone::new(room, seed) };
            let outcome = telephone.call(ms(11_000));
            assert!(outcome.interruptions.is_empty(), "{codec:?} {ptime_ms} {noise_dbfs} {seed}: {outcome:?}");
        }
    }
}

#[test]
fn a_quiet_caller_on_a_line_without_echo_interrupts_as_soon_as_without_the_guard() {
    for dbfs in [-20.0, -30.0, -35.0, -40.0] {
        for (seed, from) in [(0, 1_500), (1, 3_700), (2, 5_200), (3, 6_900)] {
            let with = interrupted_after(None, seed, dbfs, ms(from), true);
            let without = interrupted_after(None, seed, dbfs, ms(from), false);
            // The softest beginnings of the softest voice may be echo for all that is known: three frames later, then.
            let allowed = if dbfs < -35.0 { VOICE_FRAME * 3 } else { Duration::ZERO };
            let as_soon = with.zip(without).is_some_and(|(with, without)| with <= without + allowed);
            assert!(as_soon, "{dbfs} dBFS at {from}: {with:?}, without {without:?}");
        }
    }
}

#[test]
fn a_caller_can_interrupt_an_agent_that_comes_back_from_their_loudspeaker() {
    let mut took = Vec::new();
    for seed in 0..7 {
        for from in [1_500, 5_200] {
            let room = Room { reverberation: ms(300), ..Room::plain(ms(120), 25.0) };
            took.push(interrupted_after(Some(room), seed, -20.0, ms(from), true).expect("they are heard"));
        }
    }
    took.sort();
    println!("{took:?}");
    assert!(took[took.len() / 2] <= ms(160) && took[took.len() - 1] <= ms(300), "{took:?}");
}

#[test]
fn a_loudspeaker_that_is_switched_on_during_a_call_interrupts_once_at_most() {
    for loss_db in [30.0, 25.0] {
        for seed in 0..4 {
            let room = Room { on_at: ms(4_000), reverberation: ms(300), ..Room::plain(ms(120), loss_db) };
            let outcome = Telephone::new(Some(room), seed).call(ms(14_000));
            assert!(outcome.interruptions.len() <= 1, "{loss_db} {seed}: {outcome:?}");
        }
    }
}
