use super::*;

#[test]
fn the_file_holds_the_network() {
    assert!(WEIGHTS.gain.iter().all(|gain| gain.is_finite() && *gain > 0.0));
}

/// A sound that is the same everywhere: pulses at a gliding pitch that swell and fade.
fn sound(seconds: usize) -> Vec<f32> {
    let mut phase = 0.0_f64;
    (0..seconds * 16_000)
        .map(|n| {
            let time = n as f64 / 16_000.0;
            phase += (140.0 + 30.0 * (time * 5.0).sin()) / 16_000.0;
            let swell = (1.0 - (time * 4.0 * std::f64::consts::TAU).cos()) / 2.0;
            let harmonics: f64 =
                (1..12).map(|k| (std::f64::consts::TAU * phase * f64::from(k)).sin() / f64::from(k)).sum();
            (0.05 * swell * harmonics) as f32
        })
        .collect()
}

#[test]
fn the_score_is_what_the_trainer_computes() {
    let mut network = Network::new();
    let sound = sound(2);
    let (frames, _) = sound.as_chunks::<FRAME>();
    let scores: Vec<f32> = frames.iter().map(|frame| network.score(frame)).collect();
    let wanted: Vec<f32> = include_str!("scores.txt").lines().map(|line| line.parse().expect("a score")).collect();
    assert_eq!(scores.len(), wanted.len());
    for (at, (score, wanted)) in scores.iter().zip(&wanted).enumerate() {
        assert!((score - wanted).abs() < 0.01, "frame {at}: {score}, expected {wanted}");
    }
}
