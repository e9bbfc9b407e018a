// One step of a draw list, for each pixel of its area. Everything is integer arithmetic, the same as in the painter on the processor:
// see `colour::mix`, `blit::blend_over` and `canvas::copy_zone_small`.

struct Step {
    // left, top, right, bottom: the pixels that change.
    area: vec4<i32>,
    // x and y of the source's first pixel, its columns, what kind of job.
    source: vec4<i32>,
    // width and height of where a small surface is shown, width and height of that surface.
    small: vec4<u32>,
    // colour, amount, zoom, where data begins.
    paint: vec4<u32>,
    // pixels in a row of the target.
    stride: u32,
}

@group(0) @binding(0) var<uniform> job: Step;
@group(0) @binding(1) var<storage, read_write> pixels: array<u32>;
@group(0) @binding(2) var<storage, read> data: array<u32>;
@group(1) @binding(0) var surface: texture_2d<u32>;

const OPAQUE = 0xff000000u;
const EVEN = 0x00ff00ffu;

fn mix_lanes(under: u32, over: u32, amount: u32) -> u32 {
    let lanes = under * (255u - amount) + over * amount + 0x00800080u;
    return ((lanes + ((lanes >> 8u) & EVEN)) >> 8u) & EVEN;
}

fn mixed(under: u32, over: u32, amount: u32) -> u32 {
    let even = mix_lanes(under & EVEN, over & EVEN, amount);
    let odd = mix_lanes((under >> 8u) & EVEN, (over >> 8u) & EVEN, amount);
    return OPAQUE | even | (odd << 8u);
}

fn blended(under: u32, over: u32) -> u32 {
    let keep = 255u - (over >> 24u);
    var result = OPAQUE;
    for (var shift = 0u; shift < 24u; shift += 8u) {
        let product = ((under >> shift) & 255u) * keep + 0x80u;
        let quotient = (product + (product >> 8u)) >> 8u;
        result |= min(quotient + ((over >> shift) & 255u), 255u) << shift;
    }
    return result;
}

// Where sample `part` of pixel `at` of `count` lies in a line of `length` pixels.
fn spot(at: u32, part: u32, count: u32, length: u32) -> u32 {
    let fine = at * 4u + part;
    return min((2u * fine + 1u) * length / (count * 8u), length - 1u);
}

fn small(at: vec2<u32>) -> u32 {
    var even = 0u;
    var green = 0u;
    for (var row = 0u; row < 4u; row += 1u) {
        let y = spot(at.y, row, job.small.y, job.small.w);
        for (var column = 0u; column < 4u; column += 1u) {
            let x = spot(at.x, column, job.small.x, job.small.z);
            let sample = textureLoad(surface, vec2<u32>(x, y), 0).r;
            even += sample & EVEN;
            green += (sample >> 8u) & 255u;
        }
    }
    return OPAQUE | ((even >> 4u) & EVEN) | ((green >> 4u) << 8u);
}

@compute @workgroup_size(8, 8)
fn take(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = job.area.xy + vec2<i32>(id.xy);
    if (at.x >= job.area.z || at.y >= job.area.w) {
        return;
    }
    let place = u32(at.y) * job.stride + u32(at.x);
    let offset = at - job.source.xy;
    let under = pixels[place];
    switch job.source.w {
        case 0: {
            pixels[place] = textureLoad(surface, offset, 0).r;
        }
        case 1: {
            pixels[place] = small(vec2<u32>(offset));
        }
        case 2: {
            pixels[place] = mixed(under, job.paint.x, job.paint.y);
        }
        case 3: {
            let zoom = i32(job.paint.z);
            let value = (offset.y / zoom) * job.source.z + offset.x / zoom;
            let amount = data[job.paint.w + u32(value)];
            if (amount > 0u) {
                pixels[place] = mixed(under, job.paint.x, amount);
            }
        }
        default: {
            let value = offset.y * job.source.z + offset.x;
            pixels[place] = blended(under, data[job.paint.w + u32(value)]);
        }
    }
}
