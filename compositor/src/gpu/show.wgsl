// Shows the pixels of an output in a window, each where it is.

struct Place {
    // pixels in a row.
    stride: u32,
}

@group(0) @binding(0) var<uniform> place: Place;
@group(0) @binding(1) var<storage, read> pixels: array<u32>;

// One triangle that covers everything.
@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    return vec4<f32>(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn show(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {
    let pixel = pixels[u32(at.y) * place.stride + u32(at.x)];
    let channels = vec3<u32>(pixel >> 16u, pixel >> 8u, pixel) & vec3<u32>(255u);
    return vec4<f32>(vec3<f32>(channels) / 255.0, 1.0);
}
