//! soxr, speexdsp and libsamplerate as they come with the system, opened at run time: their C interfaces, no more of them than
//! is compared. Signatures are those of `soxr.h` 0.1.3, `speex_resampler.h` 1.2 and `samplerate.h` 0.2, which have been stable
//! for a decade.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_double, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use libloading::Library;
use sofia_dataplane::audio::SampleRate;

use super::{Converter, Peer};

/// More than a block of 20 ms ever gives beyond what the ratio says.
const SPARE: usize = 512;

fn open(file: &str, package: &str) -> Result<Arc<Library>, String> {
    // SAFETY: these libraries run no code of theirs when they are opened.
    let opened = unsafe { Library::new(file) };
    opened.map(Arc::new).map_err(|_| format!("{file} is not installed (Debian: {package})"))
}

/// Fetches a function; the type is the caller's to know.
macro_rules! function {
    ($library:expr, $name:literal, $type:ty) => {{
        // SAFETY: the type is the header's, and the stream keeps the library open for as long as it may call.
        let symbol = unsafe { $library.get::<$type>(concat!($name, "\0")) };
        *symbol.map_err(|error| format!("{}: {error}", $name))?
    }};
}

fn room(out: &mut Vec<f32>, input: usize, from: u32, to: u32) -> usize {
    let start = out.len();
    out.resize(start + input * to as usize / from as usize + SPARE, 0.0);
    start
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SoxrQuality {
    precision: c_double,
    phase_response: c_double,
    passband_end: c_double,
    stopband_begin: c_double,
    e: *mut c_void,
    flags: c_ulong,
}

type SoxrQualitySpec = unsafe extern "C" fn(c_ulong, c_ulong) -> SoxrQuality;
type SoxrCreate = unsafe extern "C" fn(
    c_double,
    c_double,
    c_uint,
    *mut *const c_char,
    *const c_void,
    *const SoxrQuality,
    *const c_void,
) -> *mut c_void;
type SoxrProcess =
    unsafe extern "C" fn(*mut c_void, *const f32, usize, *mut usize, *mut f32, usize, *mut usize) -> *const c_char;
type Delete = unsafe extern "C" fn(*mut c_void);

struct Soxr {
    state: *mut c_void,
    process: SoxrProcess,
    delete: Delete,
    rates: (u32, u32),
    _library: Arc<Library>,
}

impl Converter for Soxr {
    fn feed(&mut self, input: &[f32], out: &mut Vec<f32>) {
        let start = room(out, input.len(), self.rates.0, self.rates.1);
        let (mut read, mut written) = (0, 0);
        let space = &mut out[start..];
        // SAFETY: the state is live, both buffers are as long as is said, the format is the default, interleaved float.
        unsafe {
            (self.process)(
                self.state,
                input.as_ptr(),
                input.len(),
                &raw mut read,
                space.as_mut_ptr(),
                space.len(),
                &raw mut written,
            );
        }
        out.truncate(start + written);
    }
}

impl Drop for Soxr {
    fn drop(&mut self) {
        // SAFETY: made by soxr_create, and not used again.
        unsafe { (self.delete)(self.state) }
    }
}

/// The recipes that voice programs take: 16 bits with a larger roll-off, 16 bits, 20 bits.
pub(super) fn soxr() -> Result<Vec<Peer>, String> {
    let library = open("libsoxr.so.0", "libsoxr0")?;
    let spec = function!(library, "soxr_quality_spec", SoxrQualitySpec);
    let create = function!(library, "soxr_create", SoxrCreate);
    let process = function!(library, "soxr_process", SoxrProcess);
    let delete = function!(library, "soxr_delete", Delete);
    let peer = |name, recipe: c_ulong| {
        let library = library.clone();
        Peer::new(name, move |from: SampleRate, to: SampleRate| {
            let rates = (from.hz(), to.hz());
            // SAFETY: a pure function of two numbers.
            let quality = unsafe { spec(recipe, 0) };
            // SAFETY: null asks for the defaults; the quality is only read during the call.
            let state =
                unsafe { create(rates.0.into(), rates.1.into(), 1, null_mut(), null(), &raw const quality, null()) };
            (!state.is_null()).then(|| Soxr { state, process, delete, rates, _library: library.clone() })
        })
    };
    Ok(vec![peer("soxr LQ", 1), peer("soxr MQ", 2), peer("soxr HQ", 4)])
}

type SpeexInit = unsafe extern "C" fn(u32, u32, u32, c_int, *mut c_int) -> *mut c_void;
type SpeexProcess = unsafe extern "C" fn(*mut c_void, u32, *const f32, *mut u32, *mut f32, *mut u32) -> c_int;

struct Speex {
    state: *mut c_void,
    process: SpeexProcess,
    delete: Delete,
    rates: (u32, u32),
    _library: Arc<Library>,
}

impl Converter for Speex {
    fn feed(&mut self, input: &[f32], out: &mut Vec<f32>) {
        let start = room(out, input.len(), self.rates.0, self.rates.1);
        let space = &mut out[start..];
        let (mut read, mut written) = (input.len() as u32, space.len() as u32);
        // SAFETY: the state is live and has a channel 0, both buffers are as long as is said.
        unsafe {
            (self.process)(self.state, 0, input.as_ptr(), &raw mut read, space.as_mut_ptr(), &raw mut written);
        }
        out.truncate(start + written as usize);
    }
}

impl Drop for Speex {
    fn drop(&mut self) {
        // SAFETY: made by speex_resampler_init, and not used again.
        unsafe { (self.delete)(self.state) }
    }
}

/// Quality 3 is what its header recommends for voice over IP; 5 is for desktops.
pub(super) fn speexdsp() -> Result<Vec<Peer>, String> {
    let library = open("libspeexdsp.so.1", "libspeexdsp1")?;
    let init = function!(library, "speex_resampler_init", SpeexInit);
    let process = function!(library, "speex_resampler_process_float", SpeexProcess);
    let delete = function!(library, "speex_resampler_destroy", Delete);
    let peer = |name, quality| {
        let library = library.clone();
        Peer::new(name, move |from: SampleRate, to: SampleRate| {
            let rates = (from.hz(), to.hz());
            // SAFETY: the error is optional.
            let state = unsafe { init(1, rates.0, rates.1, quality, null_mut()) };
            (!state.is_null()).then(|| Speex { state, process, delete, rates, _library: library.clone() })
        })
    };
    Ok(vec![peer("speexdsp 3", 3), peer("speexdsp 5", 5)])
}

#[repr(C)]
struct SrcData {
    data_in: *const f32,
    data_out: *mut f32,
    input_frames: c_long,
    output_frames: c_long,
    input_frames_used: c_long,
    output_frames_gen: c_long,
    end_of_input: c_int,
    src_ratio: c_double,
}

type SrcNew = unsafe extern "C" fn(c_int, c_int, *mut c_int) -> *mut c_void;
type SrcProcess = unsafe extern "C" fn(*mut c_void, *mut SrcData) -> c_int;
type SrcDelete = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

struct Samplerate {
    state: *mut c_void,
    process: SrcProcess,
    delete: SrcDelete,
    rates: (u32, u32),
    _library: Arc<Library>,
}

impl Converter for Samplerate {
    fn feed(&mut self, input: &[f32], out: &mut Vec<f32>) {
        let start = room(out, input.len(), self.rates.0, self.rates.1);
        let space = &mut out[start..];
        let mut data = SrcData {
            data_in: input.as_ptr(),
            data_out: space.as_mut_ptr(),
            input_frames: input.len() as c_long,
            output_frames: space.len() as c_long,
            input_frames_used: 0,
            output_frames_gen: 0,
            end_of_input: 0,
            src_ratio: f64::from(self.rates.1) / f64::from(self.rates.0),
        };
        // SAFETY: the state is live, both buffers are as long as is said.
        unsafe { (self.process)(self.state, &raw mut data) };
        out.truncate(start + usize::try_from(data.output_frames_gen).unwrap_or(0));
    }
}

impl Drop for Samplerate {
    fn drop(&mut self) {
        // SAFETY: made by src_new, and not used again.
        unsafe { (self.delete)(self.state) };
    }
}

/// Its sinc converters; the best of the three is too slow for a call and left out.
pub(super) fn libsamplerate() -> Result<Vec<Peer>, String> {
    let library = open("libsamplerate.so.0", "libsamplerate0")?;
    let new = function!(library, "src_new", SrcNew);
    let process = function!(library, "src_process", SrcProcess);
    let delete = function!(library, "src_delete", SrcDelete);
    let peer = |name, kind| {
        let library = library.clone();
        Peer::new(name, move |from: SampleRate, to: SampleRate| {
            let mut error = 0;
            // SAFETY: the error is written during the call only.
            let state = unsafe { new(kind, 1, &raw mut error) };
            let rates = (from.hz(), to.hz());
            (!state.is_null()).then(|| Samplerate { state, process, delete, rates, _library: library.clone() })
        })
    };
    Ok(vec![peer("libsamplerate fastest", 2), peer("libsamplerate medium", 1)])
}
