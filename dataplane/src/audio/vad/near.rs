//! How loud the caller is. Whoever holds the phone is louder than the room behind: what stays far below the voice that was just heard
//! is others talking in the caller's pauses, however like a voice it sounds.

/// So far below the caller's loud sounds the room's voices lie; a caller's own weak sounds do too, but not for long.
const BELOW_DB: f32 = 12.0;
/// What stands out of the quietest moments by so much is never taken for the room's: in silence a voice may fade as it likes.
const ABOVE_FLOOR_DB: f32 = 10.0;
/// Share of a new frame's level in the mean that is compared.
const SMOOTHING: f32 = 0.2;
/// Frames, 128 ms, for which it may be weaker.
const PATIENCE: u8 = 8;
/// The share of the way to a louder and to a softer frame's level that the caller's level goes at once.
const RISE: f32 = 0.3;
const FALL: f32 = 0.02;
/// How much it falls with each frame in which nobody speaks, 1.5 dB a second: another may take the phone, or the caller step back.
const FORGET_DB: f32 = 0.024;

/// Follows one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Near {
    /// Level of the caller's loud sounds; `None` until somebody spoke.
    caller_dbfs: Option<f32>,
    mean_dbfs: Option<f32>,
    weak_for: u8,
}

impl Near {
    /// Takes the next frame, and whether it sounds like a voice; gives whether it is loud enough to be the caller's.
    pub(super) fn follow(&mut self, frame_dbfs: f32, floor_dbfs: f32, voice: bool) -> bool {
        let mean = self.mean_dbfs.map_or(frame_dbfs, |mean| mean + SMOOTHING * (frame_dbfs - mean));
        self.mean_dbfs = Some(mean);
        let Some(caller) = self.caller_dbfs else {
            if voice {
                self.caller_dbfs = Some(frame_dbfs);
            }
            return true;
        };
        let weak = mean < (caller - BELOW_DB).min(floor_dbfs + ABOVE_FLOOR_DB);
        self.weak_for = if weak { self.weak_for.saturating_add(1) } else { 0 };
        let near = self.weak_for <= PATIENCE;
        self.caller_dbfs = Some(if !(voice && near) {
            caller - FORGET_DB
        } else if frame_dbfs > caller {
            caller + RISE * (frame_dbfs - caller)
        } else {
            caller + FALL * (frame_dbfs - caller).max(-BELOW_DB)
        });
        near
    }
}
